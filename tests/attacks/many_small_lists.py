"""Returns what is small on the wire and large in memory."""


def f(x):
    return [[] for _ in range(5_000_000)]
