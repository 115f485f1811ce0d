"""Lifts its own limits and tightens its parent's."""

import os
import resource


def f(x):
    worked = []
    for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE"):
        try:
            resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2)
            worked.append(name)
        except (OSError, ValueError):
            pass
    try:
        resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))
        worked.append("parent")
    except OSError:
        pass
    return f"BREACH {worked}" if worked else "held"
