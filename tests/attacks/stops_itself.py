"""Stops its own process."""

import os
import signal


def f(x):
    os.kill(os.getpid(), signal.SIGSTOP)
    return "BREACH" if x is None else "held"
