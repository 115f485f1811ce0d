"""Traces its parent and reads its memory."""

import ctypes
import os
import platform


def f(x):
    libc = ctypes.CDLL(None)
    reads = {"x86_64": 310, "aarch64": 270}[platform.machine()]
    buffer = ctypes.create_string_buffer(8)
    span = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    for pid in {os.getppid(), os.getpid() - 1, os.getpid() - 2}:
        if libc.ptrace(16, pid, 0, 0) == 0 or libc.ptrace(0x4206, pid, 0, 0) == 0:
            return f"BREACH ptrace {pid}"
        if libc.syscall(reads, pid, span, 1, span, 1, 0) > 0:
            return f"BREACH memory {pid}"
    return "held"
