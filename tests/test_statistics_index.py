"""The rate by candidate index is tested as what it is: draws of one query that may stand in any order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2
from statsmodels.stats.contingency_tables import cochrans_q

from bon_hydra.statistics import Pattern, index_test


def pattern(outcomes: np.ndarray, indexes: tuple[int, ...] | None = None) -> Pattern:
    """Outcomes (queries, n) as a pattern."""
    n = outcomes.shape[1]
    times = np.bincount(outcomes.sum(axis=1), minlength=n + 1)
    return Pattern(indexes or tuple(range(n)), times, outcomes.sum(axis=0))


def drawn(seed: int, queries: int, rates: list[float]) -> np.ndarray:
    """Outcomes with a rate of its own at each index, on queries of all difficulties."""
    draw = np.random.default_rng(seed)
    hard = draw.beta(1, 1, (queries, 1))
    return np.asarray(draw.random((queries, len(rates))) < np.clip(hard + np.array(rates), 0, 1)).astype(np.int64)


def test_a_flat_rate_is_found_flat_as_often_as_it_should_be() -> None:
    """At 0.05 one in twenty is called otherwise."""
    p_values = [index_test([pattern(drawn(seed, 60, [0.0] * 4))], 4).p_value for seed in range(300)]
    assert np.mean(np.array(p_values, float) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_a_first_candidate_that_is_better_is_found() -> None:
    """As a seed that only the first gets, or a cache, would make it."""
    test = index_test([pattern(drawn(1, 200, [0.3, 0.0, 0.0, 0.0]))], 4)
    assert test.p_value == pytest.approx(0.001)
    assert test.p_first == pytest.approx(0.001)


def test_another_index_that_differs_is_found_too() -> None:
    """The first alone is not at fault then."""
    test = index_test([pattern(drawn(2, 300, [0.0, 0.0, 0.3, 0.0]))], 4)
    assert test.p_value == pytest.approx(0.001)


def test_with_many_queries_it_is_cochrans_q() -> None:
    """The permutation distribution of statsmodels' statistic is close to chi-square then."""
    outcomes = drawn(3, 400, [0.05, 0.0, 0.0, 0.0])
    theirs = cochrans_q(outcomes)
    assert index_test([pattern(outcomes)], 4).p_value == pytest.approx(theirs.pvalue, abs=0.03)
    assert chi2.sf(theirs.statistic, 3) == pytest.approx(theirs.pvalue)


def test_missing_candidates_are_taken_in() -> None:
    """Queries that lack an index are shuffled among those they have."""
    full, lacking = drawn(4, 150, [0.3, 0.0, 0.0]), drawn(5, 150, [0.3, 0.0])
    test = index_test([pattern(full), pattern(lacking, (0, 2))], 3)
    mixed = sum(int(((one.sum(1) > 0) & (one.sum(1) < one.shape[1])).sum()) for one in (full, lacking))
    assert test.queries == mixed
    assert test.p_first == pytest.approx(0.001)


def test_where_all_candidates_agree_there_is_nothing_to_test() -> None:
    """All right or all wrong is the same in every order."""
    assert index_test([pattern(np.repeat([[1], [0]], 4, axis=1))], 4).p_value is None
    assert index_test([], 4).queries == 0
