"""Reaches for abstract Unix sockets, also by way of a socket pair."""

import socket


def f(x):
    name = b"\0bon_hydra-attack"
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for way in (
            lambda kind=kind: socket.socket(socket.AF_UNIX, kind).bind(name),
            lambda kind=kind: socket.socketpair(socket.AF_UNIX, kind)[0].bind(name),
            lambda kind=kind: socket.socketpair(socket.AF_UNIX, kind)[0].connect(name),
            lambda kind=kind: socket.socketpair(socket.AF_UNIX, kind)[0].sendto(b"x", name),
            lambda kind=kind: socket.socketpair(socket.AF_UNIX, kind)[0].sendmsg([b"x"], [], 0, name),
        ):
            try:
                way()
            except ConnectionRefusedError as error:
                return f"BREACH {error}"
            except OSError:
                continue
            return "BREACH"
    return "held"
