"""Bootstrap over queries, for figures that are no averages over them: how many candidates for a wanted rate?

For rates themselves `intervals` has intervals that hold where resampling does not: a percentile bootstrap over 30
queries covers 58 % at a rate of 0.97.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bon_hydra.statistics.intervals import Floats, Ints

RESAMPLES = 1_000


def resampled_means(strata: Sequence[tuple[Floats, Ints]], seed: int = 0) -> Floats:
    """(resamples, k): means of the values over all queries, each stratum's queries drawn anew with replacement.

    A stratum (split) is the values (kinds, k) of its kinds of queries and how many queries of each kind (kinds,)
    there are: queries with equal counts are one kind, so resampling them is one multinomial draw.
    """
    draw = np.random.default_rng(seed)
    total = np.zeros((RESAMPLES, strata[0][0].shape[1]))
    queries = 0
    for values, times in strata:
        if own := int(times.sum()):
            total += draw.multinomial(own, times / own, RESAMPLES) @ values
            queries += own
    return np.asarray(total / max(queries, 1))


def first_reaching(means: Floats, wanted: float) -> tuple[int, int | None]:
    """The 95 % interval of the smallest k whose mean reaches `wanted`, of resampled means (resamples, k).

    None as its upper end where too many resamples never reach it; a lower end of k + 1 says the same of both.
    """
    k = means.shape[1]
    reached = means >= wanted
    first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, k + 1)
    low, high = (int(end) for end in np.quantile(first, [0.025, 0.975], method="inverted_cdf"))
    return low, (high if high <= k else None)
