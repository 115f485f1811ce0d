"""Rates and averages over queries, with 95 % intervals that hold near 0 and 1 too.

The query is the unit that was drawn: candidates of one query resemble each other, so every interval here is over
queries. How often the intervals hold is simulated by `benchmarks/statistics/coverage.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Interval = tuple[float, float]

Z95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""

FEW = 4.0
RARE = 0.1
"""Where so few, or so small a share, are right (or wrong), Wilson's interval falls as low as 84 %."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate with its 95 % interval and the number of queries it rests on; None where there are no queries."""

    estimate: float | None
    ci95: Interval | None
    queries: int


NO_ESTIMATE = Estimate(None, None, 0)


@dataclass(frozen=True, slots=True)
class Sums:
    """What an interval needs of one value v in [0, 1] and one weight w > 0 a query: sums over a stratum's queries."""

    queries: int = 0
    w: float = 0.0
    ww: float = 0.0
    wv: float = 0.0
    wwv: float = 0.0
    wwvv: float = 0.0

    @classmethod
    def of(cls, values: Floats, weights: Floats | None = None, times: Ints | None = None) -> Sums:
        """Of values (kinds,), each standing for `times` (kinds,) queries (default: one), each weighing `weights`."""
        n = np.ones(len(values)) if times is None else times.astype(np.float64)
        w = np.ones(len(values)) if weights is None else weights
        terms = (n * w, n * w * w, n * w * values, n * w * w * values, n * (w * values) ** 2)
        return cls(int(n.sum()), *(float(term.sum()) for term in terms))

    @classmethod
    def binary(cls, successes: int, queries: int) -> Sums:
        """Of one yes or no a query."""
        return cls(queries, float(queries), float(queries), *3 * (float(successes),))

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Sums)))

    def squares(self, centre: float) -> float:
        """The sum of (w (v - centre))^2."""
        return max(0.0, self.wwvv - 2 * centre * self.wwv + centre * centre * self.ww)


def wilson(rate: float, n: float) -> Interval:
    """The score interval of `rate` seen in `n` independent draws (n > 0, perhaps not a whole number); Wilson 1927."""
    z2 = Z95 * Z95
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * (rate * (1 - rate) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))


def clopper_pearson(rate: float, n: float) -> Interval:
    """The exact interval of `rate` seen in `n` draws, by quantiles of the beta distribution; Clopper & Pearson 1934.

    `n` need not be whole: with an effective number of draws it is Korn & Graubard's interval (1998).
    """
    from scipy.special import betaincinv

    right, wrong = rate * n, (1 - rate) * n
    low = float(betaincinv(right, wrong + 1, 0.025)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, wrong, 0.975)) if wrong > 0 else 1.0
    return min(low, rate), max(high, rate)


def binomial(rate: float, n: float) -> Interval:
    """Clopper and Pearson's interval where hardly any of `n` draws are right, or wrong; Wilson's elsewhere.

    Between rates of 0.1 and 0.9 Wilson's covers close to 95 %, nearer to 0 and 1 as little as 84 % (Brown, Cai &
    DasGupta 2001), where Clopper and Pearson's never falls below.
    """
    rarer = min(rate, 1 - rate) * n
    return clopper_pearson(rate, n) if rarer <= max(FEW, RARE * n) + 1e-9 else wilson(rate, n)


def binary_rate(successes: int, queries: int) -> Estimate:
    """The share of queries with one yes-or-no outcome each."""
    return average([Sums.binary(successes, queries)], queries)


def average(strata: Sequence[Sums], most: float) -> Estimate:
    """The weighted mean over all queries of all strata (the splits of a run), with an interval over queries.

    `most` is the number of draws behind it all (scored candidates): they count for no more when independent.

    The interval is `binomial`'s with the effective number of draws n = p(1 - p) / var(p), where var is the
    linearised variance of a ratio over clusters (Kish 1965; Korn & Graubard 1998; Dean & Pagano 2015 compare such
    intervals). A sample in which few queries make the whole difference tells little of its variance: p and var in n
    take in one more query, half right and half wrong, with the weight exp(-D / 10), where D = (sum e)^2 / sum e^2 is
    the effective number of queries that make the difference, e their distances from the nearer of 0 and 1. Then n is
    kept between what the queries count for if all draws of a query were equal, (sum w)^2 / sum w^2, and `most`.

    Strata that differ narrow the interval, since each was sampled apart: var(p) then is the sum of the strata's own,
    each found in this way and weighed by the square of its share, where that is less. So a split that is all right or
    all wrong has some variance too; its sample alone has none.
    """
    parts = [part for part in strata if part.queries]
    whole = sum(parts, Sums())
    if whole.queries == 0:
        return NO_ESTIMATE
    mean = min(1.0, whole.wv / whole.w)
    smoothed, effective = _effective(whole, most)
    if len(parts) > 1:
        within = 0.0
        for part in parts:
            share = part.w / whole.w
            own, draws = _effective(part, most * share)
            within += share**2 * own * (1 - own) / draws
        effective = max(effective, smoothed * (1 - smoothed) / within)
    return Estimate(mean, binomial(mean, effective), whole.queries)


def _effective(sums: Sums, most: float) -> tuple[float, float]:
    """The smoothed mean of one stratum, and its effective number of draws."""
    mean = min(1.0, sums.wv / sums.w)
    added = exp(-_deciding(sums, mean) / 10)
    typical = sums.w / sums.queries
    queries, weight = sums.queries + added, sums.w + added * typical
    smoothed = (sums.wv + added * typical / 2) / weight
    squares = sums.squares(smoothed) + added * typical**2 * ((1 - smoothed) ** 2 + smoothed**2) / 2
    variance = squares / weight**2 * queries / max(queries - 1, added)
    effective = smoothed * (1 - smoothed) / variance * sums.queries / queries if variance else most
    return smoothed, max(sums.w**2 / sums.ww, min(effective, most))


def _deciding(sums: Sums, mean: float) -> float:
    """How many queries effectively hold what is rarer, right or wrong."""
    if mean <= 0.5:
        rare, squares = sums.wv, sums.wwvv
    else:
        rare, squares = sums.w - sums.wv, sums.ww - 2 * sums.wwv + sums.wwvv
    return max(0.0, rare) ** 2 / squares if squares > 1e-12 * sums.ww else 0.0
