"""The private temporary folders of children where there is no private file system: making, measuring, removing.

What is in such a folder was made by code that is not ours: it may be deep, many, unreadable, or links to elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from .confine import MAX_FOLDER_BYTES, MAX_FOLDER_FILES

MAX_DEPTH = 64

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def fresh(scratch: str) -> str:
    """A new empty folder below `scratch` that only its owner may enter."""
    return tempfile.mkdtemp(prefix="job-", dir=scratch)


def too_large(folder: str) -> bool:
    """Whether it holds more files or bytes than a candidate may write, or folders nested too deep to look into."""
    files = size = 0
    stack = [(folder, 0)]
    while stack:
        path, depth = stack.pop()
        if depth > MAX_DEPTH:
            return True
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                files += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        stack.append((entry.path, depth + 1))
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                if files > MAX_FOLDER_FILES or size > MAX_FOLDER_BYTES:
                    return True
    return False


def remove(folder: str) -> None:
    """Deletes the folder with everything in it, however deep, without following a link."""
    with contextlib.suppress(FileNotFoundError):
        while not _empty(folder):
            pass
        Path(folder).rmdir()


def _empty(folder: str) -> bool:
    """Deletes what is directly in `folder`, lifting grandchildren up so that depth never matters; True when empty."""
    Path(folder).chmod(0o700)
    base = os.open(folder, _OPEN)
    try:
        with os.scandir(base) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for position, (name, is_folder) in enumerate(names):
            if not is_folder:
                os.unlink(name, dir_fd=base)
                continue
            os.chmod(name, 0o700, dir_fd=base)
            inner = os.open(name, _OPEN, dir_fd=base)
            try:
                with os.scandir(inner) as entries:
                    inside = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
                for number, (child, deep) in enumerate(inside):
                    if deep:
                        os.chmod(child, 0o700, dir_fd=inner)
                        os.rename(
                            child, f"{position}-{number}-{os.urandom(8).hex()}", src_dir_fd=inner, dst_dir_fd=base
                        )
                    else:
                        os.unlink(child, dir_fd=inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=base)
        return not names
    finally:
        os.close(base)
