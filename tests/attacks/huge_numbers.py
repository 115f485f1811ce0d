"""Returns integers with millions of digits."""


def f(x):
    return 1 << 50_000_000 if x == 1 else -(3**2_000_000)
