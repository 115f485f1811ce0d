"""Recurses without end, in Python and in C."""

import sys


def f(x):
    sys.setrecursionlimit(10**9)
    return f(x) if x == 2 else repr(nested())


def nested():
    result = []
    for _ in range(10**6):
        result = [result]
    return result
