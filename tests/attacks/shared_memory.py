"""Leaves System V and POSIX shared memory behind."""

import ctypes
from multiprocessing import shared_memory


def f(x):
    libc = ctypes.CDLL(None)
    if libc.shmget(0x6B6B6B, 4096, 0o1666) >= 0 or libc.semget(0x6B6B6B, 1, 0o1666) >= 0:
        return "BREACH System V"
    try:
        shared_memory.SharedMemory("bon_hydra-attack", create=True, size=4096)
    except OSError:
        return "held"
    return "BREACH POSIX"
