"""Returns text that no encoding has, and raises errors made of it."""


def f(x):
    if x == 1:
        return "\ud800\udfff\0" * 3
    raise ValueError("\ud800")
