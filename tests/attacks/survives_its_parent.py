"""Asks the kernel not to be killed with its parent."""

import ctypes


def f(x):
    return "BREACH" if ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0 else "held"
