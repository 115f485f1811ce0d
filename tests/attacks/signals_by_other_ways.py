"""Signals through file owners, queues, pidfds and timers of others."""

import ctypes
import fcntl
import os
import platform
import signal


def f(x):
    worked = []
    reader, writer = os.pipe()
    for name, way in {
        "F_SETOWN": lambda: fcntl.fcntl(reader, fcntl.F_SETOWN, os.getppid()),
        "F_SETSIG": lambda: fcntl.fcntl(reader, 10, int(signal.SIGKILL)),
        "pidfd": lambda: signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0),
    }.items():
        try:
            way()
            worked.append(name)
        except OSError:
            pass
    libc = ctypes.CDLL(None)
    tkill, queue = {"x86_64": (200, 129), "aarch64": (130, 138)}[platform.machine()]
    if libc.syscall(tkill, os.getppid(), 0) == 0 or libc.syscall(queue, os.getppid(), 0, b"\0" * 128) == 0:
        worked.append("raw")
    return f"BREACH {worked}" if worked else "held"
