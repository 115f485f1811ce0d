"""Goes past Python: fork, vfork, clone and clone3 as raw system calls."""

import ctypes
import os
import platform

NUMBERS = {"x86_64": (57, 58, 56, 435), "aarch64": (None, None, 220, 435)}[platform.machine()]


def f(x):
    call = ctypes.CDLL(None).syscall
    me = os.getpid()
    for number in NUMBERS:
        if number is None:
            continue
        arguments = ctypes.create_string_buffer(88)
        first = arguments if number == 435 else 17
        result = call(number, first, 88 if number == 435 else 0, 0, 0, 0)
        if os.getpid() != me or result >= 0:
            return f"BREACH {number}"
    return "held"
