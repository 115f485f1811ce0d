"""A seeded order over things that come in groups, reading only the groups that are needed.

Groups (row groups of Parquet, blocks of a text file) are drawn without repetition, and so are the members of each. The
order depends on the seed and the groups' sizes alone: it is Fisher-Yates over `random.Random(text).random()`, whose
sequence Python promises for ever, so it is the same on every machine, and taking fewer is taking a prefix.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Group(Protocol[T_co]):
    """What a group must be able to do: say its size and give a member by its position."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> T_co: ...


def shuffled(groups: int, read: Callable[[int], Group[T_co] | Sequence[T_co]], seed: int) -> Iterator[T_co]:
    """Every member of every group once, group after group; `read` is called when a group's turn comes."""
    for group in permutation(groups, f"{seed}"):
        members = read(group)
        for index in permutation(len(members), f"{seed}/{group}"):
            yield members[index]


def permutation(size: int, seed: str) -> array[int]:
    """The numbers 0 … size - 1 in a seeded order, 8 bytes each."""
    draw = random.Random(seed).random
    order = array("q", range(size))
    for last in range(size - 1, 0, -1):
        other = int(draw() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order
