"""Writes, renames and links outside its own folder."""

import os


def f(x):
    name = "bon_hydra-attack"
    places = ["/var/tmp", "/etc", "/home", os.path.expanduser("~"), "/root", os.path.dirname(os.__file__), "/dev/shm"]
    worked = []
    for place in places:
        path = os.path.join(place, name)
        for way in (
            lambda path=path: open(path, "w"),
            lambda path=path: os.mkdir(path),
            lambda path=path: os.symlink("x", path),
            lambda path=path: os.mkfifo(path),
        ):
            try:
                way()
                worked.append(path)
            except OSError:
                pass
    return f"BREACH {worked}" if worked else "held"
