"""What k candidates buy: pass@k, pass^k and best@k of each query, over all subsets of k of its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bon_hydra.statistics.intervals import Floats, Ints

ENOUGH = 0.95
"""A curve goes on as long as so many of the queries have k scored candidates."""


@lru_cache(maxsize=512)
def subsets_within(n: int, most: int) -> Floats:
    """(n + 1, most): C(m, k) / C(n, k), the chance that k of n candidates all lie among m of them.

    Row m = 0 … n, column k - 1 for k = 1 … most; NaN where k > n. As a product of ratios it cannot overflow.
    """
    m, k = np.arange(n + 1.0)[:, None], np.arange(min(n, most))[None, :]
    table = np.full((n + 1, most), np.nan)
    table[:, : min(n, most)] = np.cumprod(np.maximum(m - k, 0.0) / (n - k), axis=1)
    table.setflags(write=False)
    return table


def pass_at_k(scored: Ints, verified: Ints, most: int) -> Floats:
    """(queries, most): the chance that k of a query's scored candidates hold a verified one, for k = 1 … most.

    1 - C(n-c, k) / C(n, k) with n = scored, c = verified (queries,): unbiased for the chance with k fresh draws
    (Chen et al. 2021, arXiv 2107.03374). NaN where n < k.
    """
    return 1.0 - _of_all(scored, scored - verified, most)


def pass_hat_k(scored: Ints, verified: Ints, most: int) -> Floats:
    """(queries, most): the chance that all k are verified, C(c, k) / C(n, k): pass^k (Yao et al. 2024, 2406.12045)."""
    return _of_all(scored, verified, most)


def _of_all(scored: Ints, among: Ints, most: int) -> Floats:
    values = np.empty((len(scored), most))
    for n in np.unique(scored):
        here = scored == n
        values[here] = subsets_within(int(n), most)[among[here]]
    return values


def best_at_k(query: Ints, scores: Floats, right: Floats, most: int) -> Floats:
    """(queries, most): the chance that the candidate with the highest score among k is verified; ties by lot.

    `query` (candidates,) ascending from 0 without gaps says whose a candidate is; `scores` (candidates,) may hold
    NaN, which comes after every score; `right` (candidates,) is 1.0 where it is verified. A group of equal scores
    with s candidates and b better ones is the best of k with the chance (C(n-b, k) - C(n-b-s, k)) / C(n, k).
    """
    ranked = np.where(np.isnan(scores), -np.inf, scores)
    order = np.lexsort((-ranked, query))
    query, ranked, right = query[order], ranked[order], right[order]
    first = np.flatnonzero(np.diff(query, prepend=-1))
    sizes = np.diff(first, append=len(query))
    new = (np.diff(query, prepend=-1) != 0) | (ranked != np.concatenate([[np.nan], ranked[:-1]]))
    starts = np.flatnonzero(new)
    ties = np.diff(starts, append=len(query))
    share = np.add.reduceat(right, starts) / ties
    owner = query[starts]
    left = sizes[owner] - (starts - first[owner])
    values = np.empty((len(first), most))
    for n in np.unique(sizes):
        here = sizes[owner] == n
        table = subsets_within(int(n), most)
        chance = table[left[here]] - table[left[here] - ties[here]]
        of_query = owner[here]
        begins = np.flatnonzero(np.diff(of_query, prepend=-1))
        values[of_query[begins]] = np.add.reduceat(chance * share[here, None], begins, axis=0)
    return values


def reach(scored: Ints, times: Ints) -> int:
    """The largest k for which at least 95 % of the queries have k scored candidates; 1 where even one is too many.

    `scored` (kinds,) candidates in `times` (kinds,) queries. All points of a curve rest on the queries that have so
    many: with fewer queries at each further k a curve would climb or fall because the hard ones drop out.
    """
    queries = int(times.sum())
    for k in range(int(scored.max(initial=0)), 1, -1):
        if times[scored >= k].sum() >= ENOUGH * queries:
            return k
    return 1


def candidates_for(curve: Sequence[float], wanted: float) -> int | None:
    """The smallest k whose rate reaches `wanted`; None where none does."""
    return next((k for k, rate in enumerate(curve, 1) if rate >= wanted), None)
