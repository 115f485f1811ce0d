"""Whether a run is at work in its folder: it holds a lock on it, which ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bon_hydra.schema import ConfigError


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """Holds the folder for as long as the run goes on.

    Raises:
        ConfigError: another process is at work there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        for wait_s in (0.05, 0.1, 0.2, None):  # somebody may just be looking whether it runs
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if wait_s is None:
                    raise ConfigError(f"{folder}: this run is running; wait for it, or stop it with Ctrl-C") from None
                time.sleep(wait_s)
        yield
    finally:
        os.close(descriptor)


def is_running(folder: Path) -> bool:
    """Whether a process is at work on the run of this folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
