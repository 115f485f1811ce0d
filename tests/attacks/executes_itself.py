"""Replaces its process by a Python that prints what it likes."""

import os
import sys


def f(x):
    for program in (sys.executable, "/usr/bin/python3", "/bin/true"):
        try:
            os.execv(program, [program, "-c", "print(41)"])
        except OSError:
            pass
    return "held"
