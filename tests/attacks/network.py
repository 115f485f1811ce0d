"""Opens sockets of every family and type."""

import socket


def f(x):
    for family in range(1, 46):
        for kind in (1, 2, 3, 5):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            return f"BREACH {family} {kind}"
    return "held"
