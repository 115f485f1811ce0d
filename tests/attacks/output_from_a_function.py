"""Prints a gigabyte."""

import sys


def f(x):
    for _ in range(1024):
        sys.stdout.write("x" * (1 << 20))
    return "held"
