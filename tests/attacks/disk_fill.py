"""Writes large files wherever it may."""

import os


def f(x):
    written = 0
    for folder in (".", "/tmp", "/var/tmp", "/dev/shm"):
        for number in range(200):
            try:
                with open(os.path.join(folder, f"bon_hydra-attack-{number}"), "wb") as file:
                    for _ in range(64):
                        written += file.write(b"x" * (1 << 18))
            except OSError:
                continue
    while written > 1 << 30:
        pass
    return f"BREACH {written}" if written > 1 << 30 else "held"
