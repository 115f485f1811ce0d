"""Whether a run still runs: while it does, it holds a lock on its folder's `resolved.yaml`."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def is_running(folder: Path) -> bool:
    """True while a process, on this machine or another that shares its locks, holds the run of this folder."""
    try:
        descriptor = os.open(folder / "resolved.yaml", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        with suppress(OSError):
            os.close(descriptor)
    return False
