"""Reads the tests from all memory that objects live in, where a warmed-up parent's leftovers would be."""

import ctypes
import gc


def f(x):
    pools = {id(thing) & ~0x3FFF for thing in gc.get_objects()}
    first, rest = b"k9-", b"expected"
    for pool in pools:
        data = ctypes.string_at(pool, 0x4000)
        at = data.find(first)
        while at >= 0:
            if data[at + 3 : at + 11] == rest:
                return "BREACH"
            at = data.find(first, at + 1)
    return "held"
