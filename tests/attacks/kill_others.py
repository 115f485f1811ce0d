"""Signals its parent, every process, and the group."""

import os
import signal


def f(x):
    worked = []
    me = os.getpid()
    for pid in [os.getppid(), 0, -1, 1, 2, 3, *range(max(2, me - 5), me), me + 1]:
        for number in (0, signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
                worked.append(pid)
            except OSError:
                pass
    return f"BREACH {worked}" if worked else "held"
