"""Returns a list nested a hundred thousand deep, and one that holds itself."""


def f(x):
    result = []
    if x == 1:
        result.append(result)
        return result
    for _ in range(100_000):
        result = [result]
    return result
