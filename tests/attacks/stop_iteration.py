"""Raises what ends loops instead of failing."""


def f(x):
    raise StopIteration if x == 1 else GeneratorExit
