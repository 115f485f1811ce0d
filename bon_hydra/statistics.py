"""Rates, pass@k and majority votes with their intervals: arrays in, numbers out.

The query is the unit that was drawn: candidates of one query resemble each other, so every interval
here is over queries. All intervals are two-sided 95 %. This module knows numpy arrays only; it does
not know runs, splits, files or verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    mean = min(1.0, float(values @ weights) / total)
    typical = total / queries
    smoothed = (mean * total + typical / 2) / (total + typical)
    squares = float((weights**2) @ (values - smoothed) ** 2)
    squares += typical**2 * ((1 - smoothed) ** 2 + smoothed**2) / 2
    variance = (queries + 1) / queries * squares / (total + typical) ** 2
    effective = smoothed * (1 - smoothed) / variance * queries / (queries + 1)
    fewest = total**2 / float((weights**2).sum())
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
