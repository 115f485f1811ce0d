"""Did the change help? Two runs compared on the queries they share, query by query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lcm

import numpy as np

from bon_hydra.statistics.intervals import Z95, Floats, Interval, Ints

Z80 = 0.8416212335729143
"""The normal distribution's 80 % quantile."""

LATTICE_POINTS = 1 << 21
RESAMPLES = 99_999
EQUAL = 1e-9
"""Differences smaller than this are none: rates of a query are fractions with small denominators."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Run b against run a; a win is a query on which b is better. Fields are None where there are no queries."""

    queries: int
    rate_a: float | None
    rate_b: float | None
    difference: float | None
    ci95: Interval | None
    p_value: float | None
    p_value_exact: float | None
    """The plain two-sided p-value, which is never too small and often too large; None where p_value is sampled."""
    method: str
    wins: int
    losses: int
    ties: int
    minimum_detectable_effect: float | None
    """The true difference that so many queries would find in four of five repetitions (power 0.8 at 0.05)."""


@dataclass(frozen=True, slots=True)
class SignFlip:
    """A test that differences are as likely to point one way as the other."""

    p_value: float
    p_value_exact: float | None
    method: str


def compare(a: Floats, b: Floats, strata: Ints | None = None) -> Difference:
    """The paired comparison of one value a query of each run, `a` and `b` (queries,) in the same order.

    `strata` (queries,) numbers each query's split. The interval is t's on the paired differences (Miller 2024,
    arXiv 2411.00640) around their plain mean, within strata, with one more win and one more loss of weight
    exp(-D / 10) / 2 each, D = (sum |d|)^2 / sum d^2 the effective number of queries that differ: so that it never
    has zero width, and holds where few differ (as Agresti & Min 2005 do for one yes or no a query).
    """
    queries = len(a)
    if queries == 0:
        return Difference(0, None, None, None, None, None, None, "none: no queries", 0, 0, 0, None)
    differences = b - a
    differences[np.abs(differences) < EQUAL] = 0.0
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    error = _standard_error(differences, np.zeros(queries, np.int64) if strata is None else strata)
    mean = float(differences.mean())
    half = _t_quantile(max(queries - 1, 1)) * error
    test = sign_flip(differences)
    return Difference(
        queries=queries,
        rate_a=float(a.mean()),
        rate_b=float(b.mean()),
        difference=mean,
        ci95=(max(-1.0, mean - half), min(1.0, mean + half)),
        p_value=test.p_value,
        p_value_exact=test.p_value_exact,
        method=test.method,
        wins=wins,
        losses=losses,
        ties=queries - wins - losses,
        minimum_detectable_effect=min(1.0, (Z95 + Z80) * error),
    )


def _t_quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def _standard_error(differences: Floats, strata: Ints) -> float:
    """Of the mean difference, with the weight of one more win and loss where few queries differ."""
    queries = len(differences)
    size = np.abs(differences)
    squares = float(size @ size)
    added = exp(-(float(size.sum()) ** 2) / squares / 10) if squares else 1.0
    within = 0.0
    for stratum in np.unique(strata):
        own = differences[strata == stratum]
        # A single query has no spread of its own; its distance from the mean of all stands in for it.
        within += float(np.var(own, ddof=1)) * len(own) if len(own) > 1 else float(own[0] - differences.mean()) ** 2
    return float(((within + added) ** 0.5) / queries)


def sign_flip(differences: Floats) -> SignFlip:
    """The sign-flip permutation test (Fisher 1935) that the differences (queries,) are symmetric around 0.

    True where both runs have the same chance on every query. Exact where the differences are fractions with a
    common denominator, as rates of few candidates are: the distribution of their sum over all signs is a product of
    cosines, transformed back (with one candidate a query this is McNemar's exact test). The p-value is the mid-p,
    which counts half of the sums as large as the one seen: plain p-values reject a true null in 2 to 4 % of cases
    at 0.05 where few queries differ, mid-p close to 5 % (Fagerland, Lydersen & Laake 2013; simulated in
    `benchmarks/statistics/coverage.py`). Otherwise 99,999 seeded resamples, with + 1 in both counts.
    """
    differing = differences[np.abs(differences) >= EQUAL]
    if not len(differing):
        return SignFlip(1.0, 1.0, "exact sign-flip permutation: no query differs")
    whole = _on_lattice(differing)
    if whole is None:
        return SignFlip(_sampled(differing), None, f"sign-flip permutation, {RESAMPLES:,} seeded resamples")
    mid, plain = _exact(whole)
    binary = len(np.unique(np.abs(whole))) == 1
    named = "exact sign-flip permutation" + (" (McNemar)" if binary else "") + ", mid-p"
    return SignFlip(mid, plain, named)


def _on_lattice(differences: Floats) -> Ints | None:
    """The differences as whole numbers of their largest common unit; None where they have no practical one."""
    for most in (2, 4, 6, 8, 12, 16, 20):
        scaled = differences * lcm(*range(1, most + 1))
        whole = np.rint(scaled).astype(np.int64)
        if np.abs(scaled - whole).max() < 1e-4 and not (whole == 0).any():
            whole //= np.gcd.reduce(whole)
            points = 2 * int(np.abs(whole).sum()) + 2
            kinds = len(np.unique(np.abs(whole)))
            return whole if points <= LATTICE_POINTS and points * kinds <= 16 * LATTICE_POINTS else None
    return None


def _exact(whole: Ints) -> tuple[float, float]:
    """Mid-p and plain two-sided p-value of the sum of `whole` numbers under all signs."""
    sizes, times = np.unique(np.abs(whole), return_counts=True)
    seen, most = abs(int(whole.sum())), int(np.abs(whole).sum())
    points = 1 << (2 * most + 1).bit_length()
    angles = 2 * np.pi / points * np.arange(points // 2 + 1)
    transformed = np.ones(len(angles))
    for size, count in zip(sizes.tolist(), times.tolist(), strict=True):
        transformed *= np.cos(size * angles) ** count
    chance = np.maximum(np.fft.irfft(transformed, points), 0.0)
    at = float(chance[seen])
    if seen == 0:
        return 1.0 - at / 2, 1.0
    beyond = float(chance[seen + 1 : most + 1].sum())
    return min(1.0, max(2 * beyond + at, 1e-15)), min(1.0, max(2 * (beyond + at), 1e-15))


def _sampled(differences: Floats, seed: int = 0) -> float:
    """The share of random signs whose sum is as large as the one seen, one binomial draw per distinct size."""
    sizes, times = np.unique(np.round(np.abs(differences), 9), return_counts=True)
    seen = abs(float(differences.sum())) - EQUAL * len(differences)
    draw = np.random.default_rng(seed)
    resamples = int(min(RESAMPLES, max(999, 30_000_000 // len(sizes))))
    larger = 0
    rows = max(1, 1_000_000 // len(sizes))
    for start in range(0, resamples, rows):
        flips = draw.binomial(times, 0.5, (min(rows, resamples - start), len(sizes)))
        larger += int((np.abs((2 * flips - times) @ sizes) >= seen).sum())
    return (larger + 1) / (resamples + 1)


def holm(p_values: Sequence[float | None], family: int | None = None) -> list[float | None]:
    """p-values adjusted for so many comparisons (Holm 1979); None stays None and does not count.

    `family` is the number of comparisons where only some of them were made; it cannot be smaller than those.
    """
    known = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    family = len(known) if family is None else family
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, at) in enumerate(known):
        largest = max(largest, min(1.0, p * (family - rank)))
        adjusted[at] = largest
    return adjusted
