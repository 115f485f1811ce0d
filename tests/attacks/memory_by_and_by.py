"""Grows until something gives."""


def f(x):
    kept = []
    while True:
        kept.append(bytearray(1 << 22))
