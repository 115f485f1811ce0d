"""Rates, pass@k, majority votes and their intervals are what their formulas say, and hold where samples are small."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.statistics import (
    Ballot,
    any_rate,
    binary_rate,
    candidate_rate,
    clustered_mean,
    majority_at_every_k,
    majority_curve,
    pass_at_k,
    pass_curve,
    wilson,
)

outcomes = st.lists(st.booleans(), min_size=1, max_size=8)
queries = st.lists(outcomes, min_size=1, max_size=12)


def counted(drawn: list[list[bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Scored and verified candidates of each query."""
    return np.array([len(one) for one in drawn]), np.array([sum(one) for one in drawn])


@given(outcomes, st.data())
def test_pass_at_k_is_the_average_over_all_subsets_of_size_k(drawn: list[bool], data: st.DataObject) -> None:
    """The unbiased estimate is the share of subsets of k candidates that hold a verified one."""
    k = data.draw(st.integers(1, len(drawn)))
    subsets = [any(subset) for subset in combinations(drawn, k)]
    assert pass_at_k(*counted([drawn]), k)[0] == pytest.approx(sum(subsets) / len(subsets), abs=1e-12)


@given(outcomes)
def test_pass_at_k_never_falls_with_k(drawn: list[bool]) -> None:
    """One more candidate cannot make it less likely that one of them is right."""
    curve = [pass_at_k(*counted([drawn]), k)[0] for k in range(1, len(drawn) + 1)]
    assert all(a <= b + 1e-12 for a, b in pairwise(curve))
    assert curve[-1] == float(any(drawn))


def test_pass_at_k_is_unknown_where_a_query_has_fewer_than_k_scored_candidates() -> None:
    """Two candidates say nothing of pass@3."""
    values = pass_at_k(np.array([2, 3]), np.array([1, 1]), 3)
    assert np.isnan(values[0])
    assert values[1] == 1.0


def test_pass_at_k_holds_for_many_candidates() -> None:
    """No overflow where binomial coefficients have hundreds of digits."""
    assert pass_at_k(np.array([2000]), np.array([1]), 1000)[0] == pytest.approx(0.5)


def test_a_curve_tells_how_many_queries_each_k_rests_on() -> None:
    """With ragged candidates every k is over the queries that have k of them."""
    curve = pass_curve(np.array([4, 4, 2, 0]), np.array([4, 0, 1, 0]), 5)
    assert [rate.queries for rate in curve] == [3, 3, 2, 2, 0]
    assert curve[0].estimate == pytest.approx((1 + 0 + 0.5) / 3)
    assert curve[3].estimate == pytest.approx(0.5)
    assert curve[4].estimate is None
    assert curve[4].ci95 is None


answers = st.lists(st.tuples(st.sampled_from([None, 0, 1, 2, 3]), st.booleans()), min_size=1, max_size=8)


def elected(subset: tuple[tuple[int | None, bool], ...], share: dict[int, float]) -> float:
    """How likely the answer is right that most of a subset gave; ties by lot, and nobody wins where all abstain."""
    votes = Counter(answer for answer, _ in subset if answer is not None)
    winners = [answer for answer, count in votes.items() if count == max(votes.values())]
    return sum(share[answer] for answer in winners) / len(winners) if winners else 0.0


@given(answers)
def test_majority_at_k_is_the_average_over_all_subsets_of_size_k(drawn: list[tuple[int | None, bool]]) -> None:
    """With ties, abstentions, and classes whose members were not judged alike."""
    members = {
        answer: [right for other, right in drawn if other == answer] for answer, _ in drawn if answer is not None
    }
    share = {answer: sum(rights) / len(rights) for answer, rights in members.items()}
    classes = tuple(sorted((len(rights), sum(rights)) for rights in members.values()))
    curve = majority_at_every_k(Ballot(classes, sum(answer is None for answer, _ in drawn)))
    assert len(curve) == len(drawn)
    for k, value in enumerate(curve, 1):
        subsets = [elected(subset, share) for subset in combinations(drawn, k)]
        assert value == pytest.approx(sum(subsets) / len(subsets), abs=1e-12)


def test_a_majority_curve_averages_over_the_queries_that_have_k() -> None:
    """Two queries vote alike, one has only two candidates, and one of them abstains."""
    curve = majority_curve([Ballot(((1, 0), (2, 2))), Ballot(((1, 1),), 1)], np.array([0, 0, 1]), 4)
    assert [rate.queries for rate in curve] == [3, 3, 2, 0]
    assert curve[0].estimate == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 3)
    assert curve[2].estimate == 1.0
    assert curve[3].estimate is None


@given(queries)
def test_the_verification_rate_is_the_plain_mean_over_candidates(drawn: list[list[bool]]) -> None:
    """All candidates count alike, as the seed's pandas mean has it."""
    flat = [right for one in drawn for right in one]
    assert candidate_rate(*counted(drawn)).estimate == pytest.approx(sum(flat) / len(flat))


@given(queries)
def test_no_interval_has_zero_width_and_each_holds_its_rate(drawn: list[list[bool]]) -> None:
    """Also where all candidates are right, or all are wrong."""
    scored, verified = counted(drawn)
    for rate in (candidate_rate(scored, verified), any_rate(scored, verified), *pass_curve(scored, verified, 3)):
        if rate.estimate is not None and rate.ci95 is not None:
            low, high = rate.ci95
            assert 0 <= low <= rate.estimate <= high <= 1
            assert high - low > 1e-3


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_with_one_candidate_a_query_the_clustered_interval_is_wilsons(drawn: list[bool]) -> None:
    """A query with one candidate is a binary outcome and nothing more."""
    scored, verified = counted([[right] for right in drawn])
    assert candidate_rate(scored, verified).ci95 == pytest.approx(wilson(sum(drawn) / len(drawn), len(drawn)))


def test_candidates_that_repeat_each_other_add_nothing() -> None:
    """Ten equal answers to a query narrow the interval no more than one."""
    right = np.array([1, 0] * 20)
    once = candidate_rate(np.ones(40, int), right)
    ten_times = candidate_rate(np.full(40, 10), 10 * right)
    assert once.ci95 is not None
    assert ten_times.ci95 == pytest.approx(once.ci95, abs=0.005)


def test_an_interval_is_never_narrower_than_independent_candidates_allow() -> None:
    """Queries that agree with each other by chance do not count for more candidates than there are."""
    rate = candidate_rate(np.full(50, 4), np.full(50, 2))
    assert rate.ci95 is not None
    assert rate.ci95[1] - rate.ci95[0] >= (lambda ends: ends[1] - ends[0])(wilson(0.5, 200)) - 1e-12


def test_wilson_is_what_scipy_computes() -> None:
    """The interval of the reference implementation."""
    from scipy.stats import binomtest

    for successes, n in ((0, 7), (3, 7), (7, 7), (41, 100)):
        expected = binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson(successes / n, n) == pytest.approx((expected.low, expected.high))


def test_nothing_scored_gives_no_rate() -> None:
    """Without scored candidates there is no rate, rather than a zero."""
    nothing = np.zeros(3, int)
    assert candidate_rate(nothing, nothing).estimate is None
    assert any_rate(nothing, nothing).estimate is None
    assert binary_rate(0, 0).ci95 is None
    assert clustered_mean(np.zeros(0), np.zeros(0), 0).queries == 0


@pytest.mark.parametrize("queries", [30, 100])
@pytest.mark.parametrize("alike", [0.3, 2.0, 1000.0], ids=["alike", "somewhat alike", "independent"])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.8, 0.95])
def test_intervals_cover_the_truth(rate: float, alike: float, queries: int) -> None:
    """At least 93 % (less the simulation's own error) of intervals hold the true rate and the true pass@2.

    A query's chance is drawn from a beta distribution: from nearly all or nothing to the same for every query.
    """
    draw = np.random.default_rng(20261123)
    times = 400
    pass_at_2 = 1 - ((1 - rate) * alike * ((1 - rate) * alike + 1)) / (alike * (alike + 1))
    covered = np.zeros((times, 2))
    for i in range(times):
        verified = draw.binomial(4, draw.beta(rate * alike, (1 - rate) * alike, queries))
        scored = np.full(queries, 4)
        found = candidate_rate(scored, verified), pass_curve(scored, verified, 2)[1]
        for j, (estimate, truth) in enumerate(zip(found, (rate, pass_at_2), strict=True)):
            assert estimate.ci95 is not None
            covered[i, j] = estimate.ci95[0] <= truth <= estimate.ci95[1]
    assert covered.mean(axis=0).min() >= 0.93 - 2.5 * (0.93 * 0.07 / times) ** 0.5
