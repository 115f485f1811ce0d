"""majority@k: what most of k candidates say, and how often it is right.

Equal answers vote together, candidates without an answer abstain, ties are decided by lot, and a subset in which
all abstain has no answer. The value of a query is over all subsets of size k: exact, or by seeded sampling.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np

from bon_hydra.statistics.intervals import Floats, Ints


@lru_cache(maxsize=65_536)
def chances_to_win(votes: tuple[int, ...], abstaining: int) -> Floats:
    """(sizes, n): how likely ONE class of each distinct size wins, for k = 1 … n candidates drawn of all n.

    `votes` are the sizes of the classes of equal answers, ascending; rows stand in the order of the distinct sizes.
    By linearity a query's majority@k is the sum over its classes of (share verified) times this.

    Exact: for each winning number of votes t, a product over the classes counts the subsets of each size in which
    s classes tie at t and the others have fewer. All terms are positive, so that nothing cancels.
    """
    n = sum(votes) + abstaining
    sizes = sorted(set(votes))
    lag = np.subtract.outer(np.arange(n + 1), np.arange(n + 1))
    won = np.zeros((len(sizes), n + 1))
    for top in range(1, max(votes, default=0) + 1):
        reaching = [size for size in votes if size >= top]
        others = n - sum(reaching)
        # channel 0: ways to draw d candidates with s classes at the top; channel 1 + i: the same, times how many of
        # the s are of the i-th distinct size
        ways = np.zeros((1 + len(sizes), n + 1, len(reaching) + 1))
        ways[0, : others + 1, 0] = [comb(others, drawn) for drawn in range(others + 1)]
        for size in reaching:
            below = np.array([comb(size, drawn) if drawn < top else 0 for drawn in range(n + 1)], np.float64)
            at_top = np.zeros_like(ways)
            at_top[:, top:, 1:] = comb(size, top) * ways[:, : n + 1 - top, :-1]
            ways = np.where(lag >= 0, below[lag], 0.0) @ ways + at_top
            ways[1 + sizes.index(size)] += at_top[0]
        won += ways[1:, :, 1:] @ (1 / np.arange(1, len(reaching) + 1))
    count = np.array([votes.count(size) for size in sizes], np.float64)
    chances = won[:, 1:] / np.array([comb(n, k) for k in range(1, n + 1)], np.float64)
    return np.asarray(chances / count[:, None])


def majority_at_k(votes: Ints, verified: Ints, abstaining: int) -> Floats:
    """(n,): the chance that the majority of k = 1 … n candidates is right, for one query with n candidates.

    `votes` and `verified` (classes,): how many candidates of each class of equal answers, how many of them verified.
    """
    sizes = sorted(set(votes.tolist()))
    chances = chances_to_win(tuple(sorted(votes.tolist())), abstaining)
    share = np.zeros(len(sizes))
    np.add.at(share, np.searchsorted(sizes, votes), verified / votes)
    return np.asarray(share @ chances)


def sampled_majority(
    classes: Ints, weights: Floats, right: Floats, times: int, draw: np.random.Generator
) -> tuple[Floats, Floats]:
    """(queries, n) each: majority@k by sampling, and the variance of that sampling.

    `classes`, `weights`, `right` (queries, n): each candidate's class of equal answers (negative: it abstains), the
    weight of its vote (1 for a plain majority, its score for a weighted one; at least 0), and 1.0 where it is
    verified. Each query's candidates are put in `times` random orders, whose first k are random subsets of size k.
    """
    queries, n = classes.shape
    width = int(classes.max(initial=-1)) + 1
    total, squares = np.zeros((2, queries, n))
    if width == 0:
        return total, squares
    at = np.arange(queries)
    members, verified = np.zeros((2, width + 1, queries))
    np.add.at(members, (classes, at[:, None]), 1.0)
    np.add.at(verified, (classes, at[:, None]), right)
    share = verified[:width] / np.maximum(members[:width], 1.0)
    for _ in range(times):
        order = np.argsort(draw.random((queries, n)), axis=1)
        voted = np.take_along_axis(classes, order, 1).T
        weight = np.take_along_axis(weights, order, 1).T
        tally = np.zeros((width + 1, queries))  # the last row is where abstentions go
        for k in range(n):
            tally[voted[k], at] += weight[k]
            votes = tally[:width]
            top = votes.max(axis=0)
            winners = (votes >= top * (1 - 1e-12)) & (top > 0)
            value = (share * winners).sum(axis=0) / np.maximum(winners.sum(axis=0), 1)
            total[:, k] += value
            squares[:, k] += value**2
    mean = total / times
    return mean, np.maximum(squares / times - mean**2, 0.0) / max(times - 1, 1)
