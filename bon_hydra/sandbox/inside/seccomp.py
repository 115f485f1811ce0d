"""The seccomp filter of judge and candidate: a list of allowed system calls, written as classic BPF.

Whatever is not on the list is answered with ENOSYS, as an old kernel would, so that libraries fall back; the
well-known forbidden ones are answered with EPERM. See seccomp(2) and the kernel's `struct seccomp_data`.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct

from . import syscalls

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _JUMP_EQUAL, _JUMP_GE, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH = 0, 4

_CLONE_THREAD = 0x00010000
_CLONE_FORBIDDEN = 0x7E020080 | 0x00004000 | 0x00002000  # new namespaces, VFORK, PTRACE
_FCNTL_FORBIDDEN = (8, 10, 15, 1024, 1026)  # SETOWN, SETSIG, SETOWN_EX, SETLEASE, NOTIFY: signals to others
_IOCTL_FORBIDDEN = (0x8901, 0x8902, 0x5452, 0x5412)  # FIOSETOWN, SIOCSPGRP, FIOASYNC, TIOCSTI
_PRCTL_ALLOWED = (15, 16, 3, 0x53564D41)  # SET_NAME, GET_NAME, GET_DUMPABLE, SET_VMA; above all not SET_PDEATHSIG


class Unsupported(Exception):
    """This machine has no such filter."""


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _low(argument: int) -> bytes:
    return _step(_LOAD, 16 + 8 * argument)


def _high(argument: int) -> bytes:
    return _step(_LOAD, 20 + 8 * argument)


_YES = _step(_RETURN, _ALLOW)
_NO = _step(_RETURN, _ERRNO | errno.EPERM)


def _case(number: int, steps: bytes) -> bytes:
    """`steps` decide about the call `number` and must end in a return; other calls pass them by."""
    return _step(_JUMP_EQUAL, number, 0, len(steps) // 8) + steps


def _one_of(argument: int, values: tuple[int, ...], then: bytes, otherwise: bytes) -> bytes:
    tests = b"".join(_step(_JUMP_EQUAL, value, 0, 1) + then for value in values)
    return _low(argument) + tests + otherwise


def _only_read_and_truncate(argument: int) -> bytes:
    """Refuses O_TRUNC without the right to write, which early Landlock does not see."""
    return (
        _low(argument)
        + _step(_JUMP_SET, os.O_TRUNC, 1, 0)
        + _YES
        + _step(_AND, os.O_ACCMODE)
        + _step(_JUMP_EQUAL, os.O_RDONLY, 1, 0)
        + _YES
        + _NO
    )


@functools.cache
def _common(machine: str) -> bytes:
    """All that does not depend on the process, most frequent calls first."""
    special = syscalls.SPECIAL[machine]
    decided = {
        "clone": _low(0)
        + _step(_JUMP_SET, _CLONE_FORBIDDEN, 2, 0)
        + _step(_JUMP_SET, _CLONE_THREAD, 0, 1)
        + _YES
        + _NO,
        "clone3": _step(_RETURN, _ERRNO | errno.ENOSYS),  # glibc then falls back to clone, whose flags can be seen
        "fcntl": _one_of(1, _FCNTL_FORBIDDEN, _NO, _YES),
        "ioctl": _one_of(1, _IOCTL_FORBIDDEN, _NO, _YES),
        "prctl": _one_of(0, _PRCTL_ALLOWED, _YES, _NO),
        "socketpair": _one_of(0, (1,), _YES, _NO),  # AF_UNIX without a name, for asyncio
        "sendto": _low(4)  # no address
        + _step(_JUMP_EQUAL, 0, 1, 0)
        + _NO
        + _high(4)
        + _step(_JUMP_EQUAL, 0, 1, 0)
        + _NO
        + _YES,
        "open": _only_read_and_truncate(1),
        "openat": _only_read_and_truncate(2),
    }
    allowed = b"".join(_case(number, _YES) for number in syscalls.ALLOWED[machine].values())
    cases = b"".join(_case(special[name], steps) for name, steps in decided.items() if name in special)
    named = decided.keys() | {"kill", "tkill", "tgkill", "prlimit64"}
    refused = b"".join(_case(number, _NO) for name, number in special.items() if name not in named)
    return cases + allowed + refused + _step(_RETURN, _ERRNO | errno.ENOSYS)


def program(pid: int, receives: bool, machine: str | None = None) -> bytes:
    """The filter for process `pid`, 8 bytes an instruction; `receives` allows recvmsg (the judge's descriptors).

    Raises Unsupported on machines other than x86-64 and aarch64.
    """
    machine = machine or platform.machine()
    if machine not in _AUDIT_ARCH:
        raise Unsupported(f"no seccomp filter for {machine}")
    special = syscalls.SPECIAL[machine]
    itself = _one_of(0, (pid,), _YES, _NO)
    head = _step(_LOAD, _ARCH) + _step(_JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0) + _step(_RETURN, _KILL)
    head += _step(_LOAD, _NUMBER)
    if machine == "x86_64":  # the x32 calls share the architecture's name
        head += _step(_JUMP_GE, 0x40000000, 0, 1) + _step(_RETURN, _KILL)
    head += _case(special["kill"], itself) + _case(special["tgkill"], itself) + _case(special["tkill"], _NO)
    head += _case(special["prlimit64"], _one_of(0, (0, pid), _YES, _NO))
    if receives:
        head += _case(special["recvmsg"], _YES)
    return head + _common(machine)


def install(libc: ctypes.CDLL, receives: bool) -> None:
    """Puts the calling process, still single-threaded, under the filter for good. Raises OSError."""
    code = program(os.getpid(), receives)
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(22, 2, ctypes.c_char_p(fprog), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp")
