"""Which questions were seen: a hash table in numpy arrays, at most 32 bytes a question.

Open addressing with linear probing. The table is cut into parts by the id's top bits and each part grows alone, so
growing never holds two copies of the whole; a part is between half and three quarters full once it has grown, so an
entry of 12 bytes takes 16 to 24.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PARTS = 64
FIRST_SLOTS = 16
FULLEST = 0.75
GROWTH = 1.5
WINDOW = 16
"""Slots looked at in one numpy call."""


class Seen:
    """64-bit ids, each with a 32-bit number that its first adder chose."""

    def __init__(self) -> None:
        self._ids: list[NDArray[np.uint64]] = [np.zeros(FIRST_SLOTS, np.uint64) for _ in range(PARTS)]
        self._values: list[NDArray[np.uint32]] = [np.zeros(FIRST_SLOTS, np.uint32) for _ in range(PARTS)]
        self._used = [0] * PARTS

    def __len__(self) -> int:
        return sum(self._used)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(a.nbytes for a in self._ids) + sum(a.nbytes for a in self._values)

    def add(self, key: int, value: int) -> int | None:
        """Keep the value under a 64-bit key that is new (then None), else give the value that stands there."""
        key = key or 1  # 0 marks a free slot
        part = key % PARTS
        slot, found = self._find(self._ids[part], key)
        if found:
            return int(self._values[part][slot])
        self._ids[part][slot] = key
        self._values[part][slot] = value
        self._used[part] += 1
        if self._used[part] > FULLEST * len(self._ids[part]):
            self._grow(part)
        return None

    def replace(self, key: int, value: int) -> None:
        """Give a key that is there another value."""
        key = key or 1
        part = key % PARTS
        self._values[part][self._find(self._ids[part], key)[0]] = value

    @staticmethod
    def _find(ids: NDArray[np.uint64], key: int) -> tuple[int, bool]:
        """The key's slot, or the free one where it belongs. There is always a free one."""
        size = len(ids)
        start = (key // PARTS) % size
        while True:
            window = ids[start : start + WINDOW].tolist()
            for i, there in enumerate(window):
                if there == key:
                    return start + i, True
                if not there:
                    return start + i, False
            start = (start + len(window)) % size

    def _grow(self, part: int) -> None:
        old_ids, old_values = self._ids[part], self._values[part]
        size = int(len(old_ids) * GROWTH)
        ids, values = np.zeros(size, np.uint64), np.zeros(size, np.uint32)
        for slot in np.flatnonzero(old_ids).tolist():
            key = int(old_ids[slot])
            target, _ = self._find(ids, key)
            ids[target] = key
            values[target] = old_values[slot]
        self._ids[part], self._values[part] = ids, values
