"""Deletes and empties what is not its own."""

import os

KEPT = "/var/tmp/bon_hydra-kept"


def f(x):
    worked = []
    for way in (
        lambda: os.unlink(KEPT),
        lambda: os.truncate(KEPT, 0),
        lambda: os.close(os.open(KEPT, os.O_RDONLY | os.O_TRUNC)),
        lambda: os.rename(KEPT, KEPT + "2"),
        lambda: os.unlink(os.__file__),
        lambda: os.close(os.open(os.__file__, os.O_RDWR)),
    ):
        try:
            way()
            worked.append(way)
        except OSError:
            pass
    return f"BREACH {len(worked)}" if worked else "held"
