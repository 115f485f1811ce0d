"""Maps shared memory without end."""

import mmap


def f(x):
    kept = []
    for _ in range(400):
        kept.append(mmap.mmap(-1, 1 << 24))
        kept[-1][::4096] = b"x" * 4096
    return "BREACH"
