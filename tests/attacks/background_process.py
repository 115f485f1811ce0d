"""Leaves a daemon behind."""

import os
import time


def f(x):
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
    except OSError:
        return "held"
    return "BREACH"
