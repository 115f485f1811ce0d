"""Looks around in /proc and /sys."""

import os


def f(x):
    for path in ("/proc/self/maps", "/proc/self/mem", "/proc/cpuinfo", "/proc/1/cmdline", "/sys/kernel/notes"):
        try:
            with open(path, "rb") as file:
                file.read(10)
        except OSError:
            continue
        return f"BREACH {path}"
    for path in ("/proc", "/sys"):
        try:
            if os.listdir(path):
                return f"BREACH {path}"
        except OSError:
            pass
    return "held"
