"""majority@k, weighted majority@k and best@k of the queries in a batch of rows, added to their curves' sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bon_hydra.report.counts import CurveSums
from bon_hydra.statistics import Floats, Ints, best_at_k, chances_to_win, sampled_majority

EXACT_WORK = 20_000_000
"""Work that exact majorities may take in a run, a second or so: n^3 for each new set of n votes. Others are sampled."""
SAMPLED_WORK = 20_000_000
"""Candidates in random orders that sampling may take in a run."""


class Elections:
    """Counts the votes of one run: `rows` candidates in all, some ten thousand at a time."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        self._exact_work = EXACT_WORK
        self._known: set[tuple[tuple[int, ...], int]] = set()
        self._times = max(4, min(256, SAMPLED_WORK // max(rows, 1)))
        self._draw = np.random.default_rng(seed)

    def majority(self, curve: CurveSums, query: Ints, classes: Ints, right: Floats) -> None:
        """Add majority@k of each query; arrays over scored candidates, a query's together, class -1 abstains."""
        query, sizes, first = _numbered(query)
        queries = len(sizes)
        width = int(classes.max(initial=-1)) + 2
        groups, where, votes = np.unique(query * width + classes + 1, return_inverse=True, return_counts=True)
        verified = np.bincount(where, right, len(groups))
        owner, answered = groups // width, groups % width > 0
        abstaining = np.zeros(queries, np.int64)
        abstaining[owner[~answered]] = votes[~answered]
        owner, votes, share = owner[answered], votes[answered], (verified / votes)[answered]
        order = np.lexsort((votes, owner))
        owner, votes, share = owner[order], votes[order], share[order]
        place = np.arange(len(owner)) - np.searchsorted(owner, owner)
        padded = np.zeros((queries, int(place.max(initial=-1)) + 2), np.uint32)
        shares = np.zeros((queries, padded.shape[1] - 1))
        padded[:, 0], padded[owner, place + 1], shares[owner, place] = abstaining, votes, share
        ballots, which = np.unique(padded, axis=0, return_inverse=True)
        sampled = np.zeros(queries, bool)
        for number, ballot in enumerate(ballots):
            mine = np.flatnonzero(which.ravel() == number)
            cast = [int(size) for size in ballot[1:] if size]
            if not self._exactly(cast, int(ballot[0])):
                sampled[mine] = True
                continue
            chances = chances_to_win(tuple(cast), int(ballot[0]))
            of_class = np.searchsorted(sorted(set(cast)), cast)
            curve.add(int(sizes[mine[0]]), shares[mine, : len(cast)] @ chances[of_class])
        for n, at in _by_size(sizes, first, sampled):
            curve.add(n, *sampled_majority(classes[at], np.ones(at.shape), right[at], self._times, self._draw))

    def _exactly(self, cast: list[int], abstaining: int) -> bool:
        """Whether there is work left for these votes, or they have been counted before."""
        ballot = tuple(cast), abstaining
        if ballot not in self._known:
            work = (sum(cast) + abstaining) ** 3
            if work > self._exact_work:
                return False
            self._exact_work -= work
            self._known.add(ballot)
        return True

    def weighted_majority(self, curve: CurveSums, query: Ints, classes: Ints, scores: Floats, right: Floats) -> None:
        """The same with votes that weigh their candidate's score, by sampling; queries without scores don't count."""
        query, sizes, first = _numbered(query)
        votes = (classes >= 0) & ~np.isnan(scores)
        told = np.bincount(query, votes, len(sizes)) > 0
        weights = np.where(votes, np.maximum(np.nan_to_num(scores), 0.0), 0.0)
        for n, at in _by_size(sizes, first, told):
            curve.add(n, *sampled_majority(classes[at], weights[at], right[at], self._times, self._draw))

    def best(self, curve: CurveSums, query: Ints, scores: Floats, right: Floats) -> None:
        """Add best@k by score of each query that has a score."""
        query, sizes, first = _numbered(query)
        told = np.bincount(query, ~np.isnan(scores), len(sizes)) > 0
        for n, at in _by_size(sizes, first, told):
            curve.add(n, best_at_k(np.repeat(np.arange(len(at)), n), scores[at].ravel(), right[at].ravel(), n))


def _numbered(query: Ints) -> tuple[Ints, Ints, Ints]:
    """The queries numbered from 0 without gaps, how many candidates each has, and where it begins."""
    first = np.flatnonzero(np.diff(query, prepend=-1))
    sizes = np.diff(first, append=len(query))
    return np.repeat(np.arange(len(first)), sizes), sizes, first


def _by_size(sizes: Ints, first: Ints, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each number n of candidates: where the candidates of the wanted queries that have n stand (queries, n)."""
    for n in np.unique(sizes[wanted]).tolist():
        yield n, first[wanted & (sizes == n)][:, None] + np.arange(n)
