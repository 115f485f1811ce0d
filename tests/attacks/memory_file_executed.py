"""Executes a file that exists in memory only."""

import os


def f(x):
    try:
        fd = os.memfd_create("x", 0)
        os.write(fd, b"#!/bin/sh\ntouch /var/tmp/bon_hydra-attack\n")
        os.execve(fd, ["x"], {})
    except OSError:
        return "held"
    return "BREACH"
