"""Forks without end."""

import os


def f(x):
    forks = 0
    for _ in range(10_000):
        try:
            os.fork()
            forks += 1
        except OSError:
            pass
    return "BREACH" if forks else "held"
