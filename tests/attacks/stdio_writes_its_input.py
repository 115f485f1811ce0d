"""Overwrites its input and looks at it for the expected output."""

import os

os.pwrite(0, b"x" * 1000, 0) if os.access("x", 0) else None
for fd in range(20):
    try:
        data = os.pread(fd, 1 << 16, 0)
    except OSError:
        continue
    if b"k9-" in data:
        print("BREACH", data)
