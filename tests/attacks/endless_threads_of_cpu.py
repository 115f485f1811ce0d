"""Burns CPU in threads while the call waits."""

import threading


def burn():
    while True:
        pass


def f(x):
    for _ in range(4):
        threading.Thread(target=burn, daemon=True).start()
    threading.Event().wait()
