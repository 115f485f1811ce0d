"""Rates, pass@k and majority votes with their intervals: arrays in, numbers out.

The query is the unit that was drawn: candidates of one query resemble each other, so every interval
here is over queries. All intervals are two-sided 95 %. This module knows numpy arrays only; it does
not know runs, splits, files or verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

Z95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate with its 95 % interval and the number of queries it rests on; None where there are no queries."""

    estimate: float | None
    ci95: tuple[float, float] | None
    queries: int


NO_ESTIMATE = Estimate(None, None, 0)


def wilson(rate: float, n: float) -> tuple[float, float]:
    """The Wilson score interval of `rate` seen in `n` independent draws (n > 0, perhaps not a whole number).

    Wilson 1927; never of zero width, also at 0 and 1.
    """
    z2 = Z95 * Z95
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * (rate * (1 - rate) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))


def binary_rate(successes: int, queries: int) -> Estimate:
    """The share of queries with one yes-or-no outcome each, with Wilson's interval."""
    if queries == 0:
        return NO_ESTIMATE
    rate = successes / queries
    return Estimate(rate, wilson(rate, queries), queries)


def clustered_mean(values: Floats, weights: Floats, most: float) -> Estimate:
    """The weighted mean of one value a query, with an interval that holds near 0 and 1.

    `values` (queries,) in [0, 1]; `weights` (queries,) above 0: the scored candidates of each query for a rate
    over candidates, ones for an average over queries; `most` is the number of draws behind it all.

    Wilson's interval with the effective number of draws n_eff = p(1 - p) / var(p), where var is the
    linearised variance of a ratio over clusters (Kish 1965; Korn & Graubard 1998; intervals of this kind
    compared by Dean & Pagano 2015). Two things make it hold where a sample hardly varies: var and p in n_eff
    take in one more query, half right and half wrong, and n_eff stays between what the queries count for
    if all draws of a query were equal, (sum w)^2 / sum w^2, and `most`. The middle stays the plain mean.
    """
    queries = len(values)
    if queries == 0:
        return NO_ESTIMATE
    total = float(weights.sum())
    mean = min(1.0, float(np.sum(values * weights)) / total)
    typical = total / queries
    smoothed = (mean * total + typical / 2) / (total + typical)
    squares = float(np.sum((weights * (values - smoothed)) ** 2))
    squares += typical**2 * ((1 - smoothed) ** 2 + smoothed**2) / 2
    variance = (queries + 1) / queries * squares / (total + typical) ** 2
    effective = smoothed * (1 - smoothed) / variance * queries / (queries + 1)
    fewest = total**2 / float(np.sum(weights**2))
    return Estimate(mean, wilson(mean, max(fewest, min(effective, most))), queries)


def candidate_rate(scored: Ints, verified: Ints) -> Estimate:
    """The share of scored candidates that are verified, all candidates counting alike, interval over queries.

    `scored` and `verified` (queries,): how many candidates of each query; queries without a scored one don't count.
    """
    judged = scored > 0
    n = scored[judged].astype(np.float64)
    return clustered_mean(verified[judged] / n, n, float(n.sum())) if len(n) else NO_ESTIMATE


def any_rate(scored: Ints, verified: Ints) -> Estimate:
    """The share of queries with a verified candidate, among those with a scored one."""
    judged = scored > 0
    return binary_rate(int((verified[judged] > 0).sum()), int(judged.sum()))


def pass_at_k(scored: Ints, verified: Ints, k: int) -> Floats:
    """The chance that k of a query's scored candidates, drawn without replacement, hold a verified one.

    1 - C(n-c, k) / C(n, k) with n = scored, c = verified (queries,): unbiased for the chance with k fresh
    draws (Chen et al. 2021, arXiv 2107.03374), as a product that cannot overflow. NaN where n < k.
    """
    n, c = scored.astype(np.float64), verified.astype(np.float64)
    missed = np.where(n >= k, 1.0, np.nan)
    for j in range(k):
        missed *= np.maximum(n - c - j, 0.0) / np.maximum(n - j, 1.0)
    return np.asarray(1.0 - missed)


def pass_curve(scored: Ints, verified: Ints, most: int) -> list[Estimate]:
    """pass@1 … pass@`most`, each averaged over the queries that have k scored candidates."""
    width = int(scored.max(initial=0)) + 1
    kinds, where = np.unique(scored.astype(np.int64) * width + verified, return_inverse=True)
    curve = []
    for k in range(1, most + 1):
        values = pass_at_k(kinds // width, kinds % width, k)[where]
        kept = ~np.isnan(values)
        values = values[kept]
        curve.append(clustered_mean(values, np.ones(len(values)), float(scored[kept].sum())))
    return curve


@dataclass(frozen=True, slots=True)
class Ballot:
    """How a query's scored candidates vote: equal answers vote together, candidates without an answer abstain."""

    classes: tuple[tuple[int, int], ...]
    """(votes, verified ones among them) of each class of equal answers, sorted."""
    abstaining: int = 0

    @property
    def candidates(self) -> int:
        """All of them, abstaining ones too."""
        return self.abstaining + sum(votes for votes, _ in self.classes)


@lru_cache(maxsize=100_000)
def majority_at_every_k(ballot: Ballot) -> tuple[float, ...]:
    """The chance that the majority's answer is verified, for k = 1 … all candidates, over all subsets of size k.

    Exact: for each winning number of votes t, a product over the classes counts the subsets of each size in
    which s classes tie at t and the others have fewer; a tie is decided at random. A subset in which all
    abstain has no answer. All terms are positive, so that nothing cancels.
    """
    size = ballot.candidates
    lag = np.subtract.outer(np.arange(size + 1), np.arange(size + 1))
    won = np.zeros(size + 1)
    for top in range(1, max((votes for votes, _ in ballot.classes), default=0) + 1):
        reaching = [(votes, verified) for votes, verified in ballot.classes if votes >= top]
        others = size - sum(votes for votes, _ in reaching)
        # subsets[n, s]: ways to draw n candidates with s classes at the top; right: the same, times their share right
        subsets, right = np.zeros((2, size + 1, len(reaching) + 1))
        subsets[: others + 1, 0] = [comb(others, drawn) for drawn in range(others + 1)]
        for votes, verified in reaching:
            ways = np.array([comb(votes, drawn) if drawn < top else 0 for drawn in range(size + 1)], np.float64)
            fewer = np.where(lag >= 0, ways[lag], 0.0)
            at_top, right_at_top = (comb(votes, top) * _at_top(counts, top) for counts in (subsets, right))
            right = fewer @ right + right_at_top + verified / votes * at_top
            subsets = fewer @ subsets + at_top
        won += right[:, 1:] @ (1 / np.arange(1, len(reaching) + 1))
    return tuple(float(won[k]) / comb(size, k) for k in range(1, size + 1))


def _at_top(counts: Floats, top: int) -> Floats:
    """`counts` with `top` more candidates drawn, all of one more class that ties."""
    moved = np.zeros_like(counts)
    moved[top:, 1:] = counts[: len(counts) - top, :-1]
    return moved


def majority_curve(ballots: Sequence[Ballot], which: Ints, most: int) -> list[Estimate]:
    """majority@1 … majority@`most`, each averaged over the queries that have k scored candidates.

    `which` (queries,) is each query's place in `ballots`.
    """
    sizes = np.array([ballot.candidates for ballot in ballots], np.int64)[which]
    every_k = np.full((len(ballots), most), np.nan)
    for at in np.unique(which):
        values = majority_at_every_k(ballots[at])[:most]
        every_k[at, : len(values)] = values
    curve = []
    for k in range(most):
        values = every_k[which, k]
        kept = ~np.isnan(values)
        curve.append(clustered_mean(values[kept], np.ones(int(kept.sum())), float(sizes[kept].sum())))
    return curve
