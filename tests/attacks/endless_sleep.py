"""Holds its worker without using any CPU."""

import time


def f(x):
    while True:
        time.sleep(1000)
