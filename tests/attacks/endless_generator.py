"""Returns iterators without end."""

import itertools


def f(x):
    return itertools.count() if x == 1 else iter(int, 1)
