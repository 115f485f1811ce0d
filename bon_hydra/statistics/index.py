"""Does the first candidate win? Draws of one query are exchangeable, so the rate by candidate index is flat.

Where it is not, the draws were not drawn alike: a seed, `n=` or a cache is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bon_hydra.statistics.intervals import Floats, Ints

PATTERNS = 16
COVERED = 0.95
"""Queries that lack candidates are taken in by the sets of indexes they have, the most common first, up to so many
sets, and until so large a share of the queries is in."""
RESAMPLES = 999


@dataclass(frozen=True, slots=True)
class Pattern:
    """Queries with the same candidate indexes scored."""

    indexes: tuple[int, ...]
    times: Ints
    """(n + 1,): how many of these queries have 0, 1, … n verified candidates, n = len(indexes)."""
    verified: Ints
    """(n,): how many of these queries are verified at each of the indexes."""

    def __add__(self, other: Pattern) -> Pattern:
        return Pattern(self.indexes, self.times + other.times, self.verified + other.verified)


@dataclass(frozen=True, slots=True)
class IndexTest:
    """Whether the rate depends on the candidate index; p-values None where no query could tell."""

    p_value: float | None
    p_first: float | None
    """Of the first candidate against the others."""
    queries: int
    """Those that could tell, since they have verified and unverified candidates, and were taken in."""


def index_test(patterns: Sequence[Pattern], width: int, seed: int = 0) -> IndexTest:
    """A permutation test of the rate by candidate index, within queries (Cochran's Q by permutation, 1950).

    `width` is the number of indexes, N. The statistic is the sum over indexes of (verified - expected)^2 / variance,
    where each query's verified candidates are shuffled among its scored ones. 999 seeded shuffles, p-values with + 1
    in both counts, so that p is at least 0.001. How many queries there are costs nothing: shuffles are drawn for all
    queries of a pattern at once, index by index.
    """
    mixed = [(pattern, _mixed(pattern)) for pattern in patterns if len(pattern.indexes) > 1]
    mixed = sorted((one for one in mixed if one[1]), key=lambda one: -one[1])
    all_mixed, queries = sum(count for _, count in mixed), 0
    kept = []
    for one in mixed[:PATTERNS]:
        if queries < COVERED * all_mixed:
            kept.append(one)
            queries += one[1]
    if not queries:
        return IndexTest(None, None, 0)
    draw = np.random.default_rng(seed)
    seen, expected, variance = np.zeros((3, width))
    shuffled = np.zeros((RESAMPLES, width))
    for pattern, _ in kept:
        n, at = len(pattern.indexes), list(pattern.indexes)
        verified = np.arange(n + 1)
        seen[at] += pattern.verified
        expected[at] += float(pattern.times @ verified) / n
        variance[at] += float(pattern.times @ (verified * (n - verified))) / n**2
        shuffled[:, at] += _shuffles(pattern.times, draw)
    told = variance > 0
    spread = variance[told]

    def statistic(counts: Floats) -> Floats:
        return np.asarray(np.sum((counts - expected)[..., told] ** 2 / spread, axis=-1))

    slack = 1 + 1e-9
    p_value = (1 + np.sum(statistic(shuffled) * slack >= statistic(seen))) / (RESAMPLES + 1)
    p_first = None
    if told[0]:
        off = np.abs(shuffled[:, 0] - expected[0])
        p_first = float(1 + np.sum(off * slack >= abs(seen[0] - expected[0]))) / (RESAMPLES + 1)
    return IndexTest(float(p_value), p_first, queries)


def _mixed(pattern: Pattern) -> int:
    """Queries with verified and unverified candidates; the others are the same in every order."""
    return int(pattern.times[1:-1].sum())


def _shuffles(times: Ints, draw: np.random.Generator) -> Ints:
    """(RESAMPLES, n): verified candidates at each index when each query's are shuffled.

    Index by index: of the queries with c verified ones left among m indexes, each has one here with the chance c / m.
    """
    n = len(times) - 1
    left = np.tile(times.astype(np.int64), (RESAMPLES, 1))
    counts = np.zeros((RESAMPLES, n), np.int64)
    for at in range(n):
        here = draw.binomial(left, np.minimum(np.arange(n + 1) / (n - at), 1.0))
        counts[:, at] = here.sum(axis=1)
        left = left - here
        left[:, :-1] += here[:, 1:]
    return counts
