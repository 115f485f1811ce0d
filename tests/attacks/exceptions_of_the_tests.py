"""Raises what the tests may expect or swallow, with odd names and texts."""


class Odd(BaseException):
    def __str__(self):
        raise KeyboardInterrupt


Odd.__name__ = "x" * 1_000_000


def f(x):
    if x == 1:
        raise KeyboardInterrupt
    raise Odd
