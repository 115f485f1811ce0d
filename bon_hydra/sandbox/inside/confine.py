"""Shutting a freshly forked process in, for good: own temporary folder, limits, no capabilities, Landlock, seccomp.

`confine` is called once in the child before any code that is not ours; nothing of it can be undone afterwards.
It knows the operating system only, not what the process is for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import seccomp

MEGABYTE = 1 << 20

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_READING = _READ_FILE | _READ_DIR
_OWN_FOLDER = (
    _READING | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
)
# Highest ABI a mask belongs to; an unknown right makes the kernel refuse the whole ruleset.
_HANDLED_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2

MAX_FILE_BYTES = 16 * MEGABYTE
MAX_FOLDER_BYTES = 64 * MEGABYTE
MAX_FOLDER_FILES = 4096
MAX_THREADS = 128


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a worker shuts its children in. `level` is `namespaces`, `landlock` or `unsafe`."""

    level: str
    readable: tuple[str, ...]
    """Files and folders that may be read; at `unsafe` nothing enforces it."""
    memory_bytes: int
    """Address space beyond what the zygote has mapped."""
    cpu_s: int
    """The kernel's own last limit of a process's CPU time; the zygote ends it before."""


libc = ctypes.CDLL(None, use_errno=True)


def _check(result: Any, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return int(result)


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def signal_at_parents_end(number: signal.Signals) -> None:
    """The kernel sends this process `number` when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def address_space() -> int:
    """Bytes mapped by this process; half a gigabyte where /proc does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return 512 * MEGABYTE


def confine(how: Confinement, folder: str, base_bytes: int, is_judge: bool) -> None:
    """Shuts the calling process in; `folder` becomes its only writable place and its working directory.

    `base_bytes`: address space that is not counted. The judge may open more files, write larger ones and receive
    descriptors. Raises OSError or seccomp.Unsupported; then the caller must end the process without running anything.
    """
    signal_at_parents_end(signal.SIGKILL)
    if how.level == "namespaces":
        _own_mounts(folder)
    os.chdir(folder)
    os.umask(0o077)
    if how.level != "unsafe":
        _drop_capabilities()
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
        _landlock(how, folder)
    _limits(how, base_bytes, is_judge)
    if how.level != "unsafe":
        seccomp.install(libc, receives=is_judge)


def _own_mounts(folder: str) -> None:
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    options = f"size={MAX_FOLDER_BYTES},nr_inodes={MAX_FOLDER_FILES},mode=0700".encode()
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _check(libc.mount(b"tmpfs", folder.encode(), b"tmpfs", flags, options), f"tmpfs on {folder}")
    if libc.umount2(b"/proc", _MNT_DETACH) and ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):
        _check(-1, "umount /proc")


def _drop_capabilities() -> None:
    header = struct.pack("=Ii", 0x20080522, 0)  # version 3, this thread
    _check(libc.capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)), "capset")


def _landlock(how: Confinement, folder: str) -> None:
    abi = landlock_abi()
    if not abi:
        if how.level == "landlock":
            raise OSError(errno.ENOSYS, "the kernel has no Landlock")
        return
    handled = _HANDLED_BY_ABI[min(abi, max(_HANDLED_BY_ABI))]
    attributes = struct.pack("=Q", handled)
    if abi >= 4:
        attributes += struct.pack("=Q", 3)  # no TCP
    if abi >= 6:
        attributes += struct.pack("=Q", 3)  # no abstract sockets and no signals beyond this process
    ruleset = _check(
        libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)), "Landlock"
    )
    for path in how.readable:
        _allow(ruleset, path, _READING & handled)
    _allow(ruleset, folder, _OWN_FOLDER & handled)
    _allow(ruleset, os.devnull, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & handled)
    _check(libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)), "Landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be allowed
    try:
        if not Path(path).is_dir():
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, beneath)
        _check(libc.syscall(_ADD_RULE, ruleset, 1, rule, ctypes.c_uint32(0)), f"Landlock rule for {path}")
    finally:
        os.close(beneath)


def _limits(how: Confinement, base_bytes: int, is_judge: bool) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, how.cpu_s)
    _limit(resource.RLIMIT_FSIZE, 16 * MAX_FILE_BYTES if is_judge else MAX_FILE_BYTES)
    _limit(resource.RLIMIT_NOFILE, 256 if is_judge else 64)
    _limit(resource.RLIMIT_STACK, 120 * MEGABYTE)  # recursion in C; more than this the gap below the stack lacks
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, base_bytes + how.memory_bytes)
        _limit(resource.RLIMIT_MSGQUEUE, 0)
        _limit(resource.RLIMIT_SIGPENDING, 256)
        _limit(resource.RLIMIT_MEMLOCK, 0)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))
