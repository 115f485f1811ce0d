"""Starts threads until no more can be started."""

import threading


def f(x):
    threading.stack_size(32768)
    stop = threading.Event()
    started = 0
    try:
        while started < 5000:
            threading.Thread(target=stop.wait, daemon=True).start()
            started += 1
    except RuntimeError:
        return "held"
    stop.wait(1)
    return "BREACH"
