"""Which verified answer stands against which failed one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

Rank = Callable[[int, int], float]
"""How good a pair of chosen i and rejected j is; lower is better."""


def by_length(chosen: Sequence[int], rejected: Sequence[int]) -> Rank:
    """Nearest in length first, so that length says as little as it can of which is which."""
    return lambda i, j: abs(chosen[i] - rejected[j])


def at_random(seed: str) -> Rank:
    """Any order, the same for the same seed."""
    draws: dict[tuple[int, int], float] = {}
    generator = Random(seed)
    return lambda i, j: draws.setdefault((i, j), generator.random())


def pairs(chosen: int, rejected: int, most: int, rank: Rank) -> list[tuple[int, int]]:
    """At most `most` different pairs out of `chosen` times `rejected` ones, by rank.

    An answer is taken a second time only when there is no pair of fresher ones.
    """
    left = sorted((rank(i, j), i, j) for i in range(chosen) for j in range(rejected))
    uses: Counter[tuple[bool, int]] = Counter()
    found: list[tuple[int, int]] = []
    while left and len(found) < most:
        best = min(left, key=lambda pair: uses[True, pair[1]] + uses[False, pair[2]])  # the first of equals
        left.remove(best)
        _, i, j = best
        uses[True, i] += 1
        uses[False, j] += 1
        found.append((i, j))
    return found
