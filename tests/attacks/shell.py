"""Runs a shell in every way the library has."""

import os
import subprocess


def f(x):
    ways = [
        lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
        lambda: os.posix_spawn("/bin/sh", ["sh", "-c", "true"], {}),
        lambda: os.popen("echo here").read().index("here"),
        lambda: 1 / (os.system("true") == 0),
        lambda: os.execv("/bin/sh", ["sh", "-c", "true"]),
    ]
    for number, way in enumerate(ways):
        try:
            way()
        except BaseException:
            continue
        return f"BREACH {number}"
    return "held"
