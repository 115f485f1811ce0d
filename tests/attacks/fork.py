"""Starts a process and lets it answer."""

import os


def f(x):
    try:
        pid = os.fork()
    except OSError:
        return "held"
    return f"BREACH {pid}"
