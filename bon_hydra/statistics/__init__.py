"""Rates, curves, votes and comparisons: arrays in, numbers out.

The query is the unit that was drawn: candidates of one query resemble each other, so all intervals and tests are
over queries. All intervals are two-sided 95 %. Nothing here knows runs, files or verdicts.

    intervals   rates and averages over queries
    curves      pass@k, pass^k, best@k; how far a curve goes where candidates are missing
    votes       majority@k, exact and sampled
    resampling  the bootstrap, for how many candidates a wanted rate takes
    index       does the first candidate win?
    paired      did the change help? two runs
    standings   which points of a sweep can't be told from its best?
"""

from bon_hydra.statistics.curves import best_at_k, candidates_for, pass_at_k, pass_hat_k, reach, subsets_within
from bon_hydra.statistics.index import IndexTest, Pattern, index_test
from bon_hydra.statistics.intervals import (
    NO_ESTIMATE,
    Estimate,
    Floats,
    Interval,
    Ints,
    Sums,
    average,
    binary_rate,
    binomial,
    clopper_pearson,
    wilson,
)
from bon_hydra.statistics.paired import Difference, SignFlip, compare, holm, sign_flip
from bon_hydra.statistics.resampling import first_reaching, resampled_means
from bon_hydra.statistics.standings import Standing, standings
from bon_hydra.statistics.votes import chances_to_win, majority_at_k, sampled_majority

__all__ = [
    "NO_ESTIMATE",
    "Difference",
    "Estimate",
    "Floats",
    "IndexTest",
    "Interval",
    "Ints",
    "Pattern",
    "SignFlip",
    "Standing",
    "Sums",
    "average",
    "best_at_k",
    "binary_rate",
    "binomial",
    "candidates_for",
    "chances_to_win",
    "clopper_pearson",
    "compare",
    "first_reaching",
    "holm",
    "index_test",
    "majority_at_k",
    "pass_at_k",
    "pass_hat_k",
    "reach",
    "resampled_means",
    "sampled_majority",
    "sign_flip",
    "standings",
    "subsets_within",
    "wilson",
]
