"""Leaves a thread running that never ends."""

import threading
import time


def forever():
    while True:
        time.sleep(0.01)


threading.Thread(target=forever).start()


def f(x):
    return "held"
