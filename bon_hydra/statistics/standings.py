"""Which points of a sweep can't be told from its best one?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bon_hydra.statistics.intervals import Floats, Ints
from bon_hydra.statistics.paired import EQUAL, Difference, compare, holm

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """One point of a sweep against the one that all are held against, the best one as a rule."""

    rate: float | None
    """Its mean over the queries that all points have; None where it has none of them."""
    queries: int
    """Those it has a value of."""
    difference: Difference | None
    """The point (b) against the other (a); None where it was not tested."""
    p_holm: float | None
    is_best: bool
    overlaps: bool
    """It shares its draws with the one it would be held against, so that it was not tested."""
    as_good: bool
    """The best, or tested and not told apart from it at 0.05."""


def standings(
    outcomes: Mapping[str, Floats],
    draws: Mapping[str, str] | None = None,
    strata: Ints | None = None,
    against: str | None = None,
) -> dict[str, Standing]:
    """Which points of a sweep can't be told from the best one.

    `outcomes` gives each point's value of each query (queries,), NaN where it has none, all in one order of queries;
    `strata` (queries,) numbers their splits. `draws` names what a point's values were made from: points of one name
    overlap, and are not tested against each other (default: no two do). `against` names a point that takes the place
    of the best.

    The best is the one with the highest mean over the queries that all points have (those without any value apart);
    of equal ones the first. Where there are no such queries nothing is ranked. Each point of other draws is compared
    with it on the queries those two share, with Holm's adjustment. Its family is larger than the tests made, since
    the best was chosen by looking: any of the D draws might have had it, and each of P points been held against it,
    in one direction, which a two-sided test counts by half, so it is P (D - 1) / 2. Then one of several equally good
    points is called worse than the best in at most 5 % of sweeps, and the true best is marked in at least 95 %
    (simulated in `benchmarks/statistics/coverage.py`). With `against` it is the tests.
    """
    names = list(outcomes)
    kinds = {name: draws[name] if draws else name for name in names}
    known = {name: ~np.isnan(outcomes[name]) for name in names}
    ranked = [name for name in names if known[name].any()]
    common = np.logical_and.reduce([known[name] for name in ranked]) if ranked else np.zeros(0, bool)
    rates = {name: float(outcomes[name][common].mean()) for name in ranked} if common.any() else {}
    best = max(rates, key=lambda name: round(rates[name] / EQUAL), default=None)
    held = best if against is None else against
    found = {
        name: _against(outcomes[held], outcomes[name], strata)
        for name in ranked
        if held is not None and kinds[name] != kinds[held]
    }
    several = Counter(kinds[name] for name in ranked)
    family = len(ranked) * (len(several) - 1) // 2 if against is None else 0
    made = sum(one is not None for one in found.values())
    adjusted = holm([one.p_value if one else None for one in found.values()], max(made, family))
    p_holm = dict(zip(found, adjusted, strict=True))
    return {
        name: Standing(
            rate=rates.get(name),
            queries=int(known[name].sum()),
            difference=found.get(name),
            p_holm=p_holm.get(name),
            is_best=name == best,
            overlaps=held is not None and name != held and kinds[name] == kinds[held],
            as_good=name == best or ((p := p_holm.get(name)) is not None and p > LEVEL),
        )
        for name in names
    }


def _against(held: Floats, values: Floats, strata: Ints | None) -> Difference | None:
    shared = ~(np.isnan(held) | np.isnan(values))
    if not shared.any():
        return None
    return compare(held[shared], values[shared], None if strata is None else strata[shared])
