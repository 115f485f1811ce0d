"""Looks for keys in the environment, its own and others'."""

import ctypes
import glob
import os


def f(x):
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    keys = [name for name in os.environ] + [libc.getenv(b"PATH"), libc.getenv(b"HOME"), libc.getenv(b"ATTACK_API_KEY")]
    for path in ["/proc/self/environ", "/proc/1/environ", *glob.glob("/proc/[0-9]*/environ")]:
        try:
            keys.append(open(path).read())
        except OSError:
            pass
    keys = [key for key in keys if key]
    return f"BREACH {keys}" if keys else "held"
