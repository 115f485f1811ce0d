"""Ends with exit code 0 in the middle of a test."""

import os


def f(x):
    os._exit(0)
