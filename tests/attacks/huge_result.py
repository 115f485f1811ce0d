"""Returns more than anybody wants to read."""


def f(x):
    return [[]] * 30_000_000 if x == 1 else "x" * (1 << 28)
