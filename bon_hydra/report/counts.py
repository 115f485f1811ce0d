"""What is counted of a run: numbers by split that every figure is made of, as small as the run is large.

Queries with equal counts are one kind, and curves are kept as sums over queries, so that nothing here grows with
the number of queries. `tally` fills it from a file; `summary` makes rates of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bon_hydra.statistics import Floats, Ints, Pattern, Sums

PATTERNS = 256
"""Sets of scored candidate indexes that are told apart; queries with a rarer one are left out of the index test."""


def grown(array: NDArray[np.int64], *shape: int) -> NDArray[np.int64]:
    """The array with at least that shape, zeros in what is new."""
    new = tuple(max(pair) for pair in zip(array.shape, shape, strict=True))
    if new == array.shape:
        return array
    larger = np.zeros(new, array.dtype)
    larger[tuple(slice(size) for size in array.shape)] = array
    return larger


@dataclass
class CurveSums:
    """Values of queries for k = 1 … n as sums over queries, by their number n of scored candidates."""

    times: Counter[int] = field(default_factory=Counter)
    sums: dict[int, Floats] = field(default_factory=dict)
    """n -> (3, n): sums over queries of the values, of their squares, and of their sampling variances."""

    def add(self, n: int, values: Floats, noise: Floats | None = None) -> None:
        """Take in queries with n scored candidates: values (queries, n), and the variance of each where sampled."""
        self.times[n] += len(values)
        own = self.sums.setdefault(n, np.zeros((3, n)))
        own[0] += values.sum(axis=0)
        own[1] += (values**2).sum(axis=0)
        if noise is not None:
            own[2] += noise.sum(axis=0)

    def at(self, k: int, least: int) -> tuple[Sums, float]:
        """The values for k of all queries with at least `least` (>= k) candidates, and their sampling variances."""
        queries, total, squares, noise = 0, 0.0, 0.0, 0.0
        for n, own in self.sums.items():
            if n >= least:
                queries += self.times[n]
                total, squares, noise = total + own[0, k - 1], squares + own[1, k - 1], noise + own[2, k - 1]
        return Sums(queries, float(queries), float(queries), total, total, squares), noise

    def having(self, k: int) -> int:
        """Queries with at least k candidates."""
        return sum(count for n, count in self.times.items() if n >= k)


STEPS = 64
"""Bins of a histogram for each doubling: quantiles are right to one per cent."""
LOWEST = 2.0**-12


@dataclass
class Histogram:
    """Positive numbers by their order of magnitude; zero and below count as the lowest."""

    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(48 * STEPS, np.int64))
    total: float = 0.0

    def add(self, values: Floats) -> None:
        """Count numbers; NaN is none."""
        known = values[~np.isnan(values)]
        if len(known):
            places = np.log2(np.maximum(known, LOWEST) / LOWEST) * STEPS
            self.bins += np.bincount(np.minimum(places.astype(np.int64), len(self.bins) - 1), minlength=len(self.bins))
            self.total += float(known.sum())

    @property
    def count(self) -> int:
        """How many numbers."""
        return int(self.bins.sum())

    def quantile(self, share: float) -> float | None:
        """The number below which `share` of them lie, to one per cent; None where there are none."""
        if not self.count:
            return None
        at = int(np.searchsorted(np.cumsum(self.bins), share * self.count))
        return float(LOWEST * 2.0 ** ((at + 0.5) / STEPS)) if at else 0.0

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.bins + other.bins, self.total + other.total)


@dataclass
class Counts:
    """What was counted in one split, or in one group of rows."""

    candidates: int = 0
    kinds: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 1), np.int64))
    """(n + 1, n + 1): queries with so many scored candidates (row), so many of them verified (column).

    Queries that cannot be judged at all are in `unverifiable` instead."""
    unverifiable: int = 0
    """Queries without a scored candidate that have no reference to be judged by."""
    unscored: Counter[str] = field(default_factory=Counter)
    """Other queries without a scored candidate, by the verdict they have most severely: also in `kinds`, at 0, 0."""
    by_index: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """(N, 2): scored and verified candidates of each candidate index."""
    patterns: dict[bytes, Pattern] = field(default_factory=dict)
    """Queries by the candidate indexes they have scored."""
    verdicts: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    cut_off: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    """(2,): scored candidates that were cut off at the token limit, and those of them that are verified."""
    prompt_tokens: int | None = None
    cost_usd: float | None = None
    """Each None where no candidate says anything of it."""
    completion_tokens: Histogram = field(default_factory=Histogram)
    latency_s: Histogram = field(default_factory=Histogram)
    majority: CurveSums = field(default_factory=CurveSums)
    weighted_majority: CurveSums = field(default_factory=CurveSums)
    best: CurveSums = field(default_factory=CurveSums)
    has_classes: bool = False
    """Whether any answer has a class; without, `majority` says nothing."""

    @property
    def queries(self) -> int:
        """All of them."""
        return int(self.kinds.sum()) + self.unverifiable

    def kind_counts(self) -> tuple[Ints, Ints, Ints]:
        """The kinds of queries there are: scored candidates, verified ones, and how many queries (kinds,) each."""
        scored, verified = np.nonzero(self.kinds)
        return scored, verified, self.kinds[scored, verified]


def merged(parts: list[Counts]) -> Counts:
    """Splits as one, for what is plainly summed; a query belongs to its split, so nothing is counted twice."""
    whole = Counts()
    for part in parts:
        whole.candidates += part.candidates
        whole.kinds = grown(whole.kinds, *part.kinds.shape)
        whole.kinds[tuple(slice(size) for size in part.kinds.shape)] += part.kinds
        whole.unverifiable += part.unverifiable
        whole.unscored += part.unscored
        whole.by_index = grown(whole.by_index, *part.by_index.shape)
        whole.by_index[: len(part.by_index)] += part.by_index
        whole.verdicts += part.verdicts
        whole.truncated += part.truncated
        whole.cut_off = whole.cut_off + part.cut_off
        whole.prompt_tokens = added(whole.prompt_tokens, part.prompt_tokens)
        whole.cost_usd = added(whole.cost_usd, part.cost_usd)
        whole.completion_tokens += part.completion_tokens
        whole.latency_s += part.latency_s
        whole.has_classes |= part.has_classes
        for key, pattern in part.patterns.items():
            known = whole.patterns.get(key)
            whole.patterns[key] = pattern if known is None else known + pattern
    return whole


def added(known: Any, more: Any) -> Any:
    """The sum of what is known; None where nothing is."""
    return more if known is None else known if more is None else known + more
