"""Returns a set whose building takes quadratic time."""


def f(x):
    return {i * (2**61 - 1) for i in range(200)} if x == 1 else {1: {2: {3}} == 4}
