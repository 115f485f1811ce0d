"""Asks for 16 GB at once, and says so if it gets them."""


def f(x):
    return f"BREACH {len(bytearray(1 << 34))}"
