"""Rates, curves and votes are what their formulas say, and what the reference implementations compute."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from bon_hydra.statistics import (
    Sums,
    average,
    best_at_k,
    binary_rate,
    candidates_for,
    clopper_pearson,
    first_reaching,
    majority_at_k,
    pass_at_k,
    pass_hat_k,
    reach,
    resampled_means,
    sampled_majority,
    wilson,
)

outcomes = st.lists(st.booleans(), min_size=1, max_size=8)
queries = st.lists(outcomes, min_size=1, max_size=12)


def counted(drawn: list[list[bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Scored and verified candidates of each query."""
    return np.array([len(one) for one in drawn]), np.array([sum(one) for one in drawn])


def rate(scored: np.ndarray, verified: np.ndarray) -> Any:
    """The share of candidates that are verified, interval over queries."""
    return average([Sums.of(verified / scored, scored.astype(float))], float(scored.sum()))


@settings(max_examples=60)
@given(outcomes)
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(drawn: list[bool]) -> None:
    """And pass^k the share of subsets that are all right."""
    scored, verified = counted([drawn])
    passes, hats = pass_at_k(scored, verified, 9)[0], pass_hat_k(scored, verified, 9)[0]
    for k in range(1, len(drawn) + 1):
        subsets = list(combinations(drawn, k))
        assert passes[k - 1] == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)
        assert hats[k - 1] == pytest.approx(sum(map(all, subsets)) / len(subsets), abs=1e-12)
    assert np.isnan(passes[len(drawn) :]).all()
    assert all(a <= b + 1e-12 for a, b in pairwise(passes[: len(drawn)]))


@settings(max_examples=60)
@given(st.integers(1, 60), st.data())
def test_pass_at_k_is_what_chen_et_al_compute(n: int, data: st.DataObject) -> None:
    """Their code, written out (arXiv 2107.03374, figure 3)."""
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    theirs = 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
    assert pass_at_k(np.array([n]), np.array([c]), k)[0, k - 1] == pytest.approx(theirs, abs=1e-12)


def test_pass_at_k_holds_for_many_candidates() -> None:
    """No overflow where binomial coefficients have hundreds of digits."""
    assert pass_at_k(np.array([2000]), np.array([1]), 1000)[0, 999] == pytest.approx(0.5)


answers = st.lists(st.tuples(st.sampled_from([None, 0, 1, 2, 3]), st.booleans()), min_size=1, max_size=8)
weighted = st.lists(
    st.tuples(st.sampled_from([None, 0, 1, 2]), st.booleans(), st.sampled_from([0.25, 0.5, 1.0])),
    min_size=1,
    max_size=6,
)


def elected(subset: tuple[tuple[Any, ...], ...], share: dict[int, float]) -> float:
    """How likely the answer is right that most of a subset gave; ties by lot, and nobody wins where all abstain."""
    votes: Counter[int] = Counter()
    for answer, _, *weight in subset:
        if answer is not None:
            votes[answer] += weight[0] if weight else 1
    winners = [answer for answer, count in votes.items() if count == max(votes.values())]
    return sum(share[answer] for answer in winners) / len(winners) if winners else 0.0


def shares(drawn: list[Any]) -> dict[int, float]:
    """How many of each class are verified."""
    members: dict[int, list[bool]] = {}
    for answer, right, *_ in drawn:
        if answer is not None:
            members.setdefault(answer, []).append(right)
    return {answer: sum(rights) / len(rights) for answer, rights in members.items()}


@settings(max_examples=60)
@given(answers)
def test_majority_at_k_is_the_average_over_all_subsets_of_size_k(drawn: list[tuple[int | None, bool]]) -> None:
    """With ties, abstentions, and classes whose members were not judged alike."""
    share = shares(drawn)
    votes = Counter(answer for answer, _ in drawn if answer is not None)
    verified = np.array([votes[answer] * share[answer] for answer in votes])
    curve = majority_at_k(np.array(list(votes.values()), int), verified, sum(answer is None for answer, _ in drawn))
    assert len(curve) == len(drawn)
    for k, value in enumerate(curve, 1):
        subsets = [elected(subset, share) for subset in combinations(drawn, k)]
        assert value == pytest.approx(sum(subsets) / len(subsets), abs=1e-12)


@settings(max_examples=60)
@given(weighted)
def test_a_sampled_majority_is_within_its_error_of_the_average_over_all_subsets(drawn: list[Any]) -> None:
    """Votes weigh their scores; the error it states is the sampling's, and the last k needs none."""
    share = shares(drawn)
    classes = np.array([[-1 if answer is None else answer for answer, *_ in drawn]])
    weights, right = np.array([[w for *_, w in drawn]]), np.array([[float(r) for _, r, _ in drawn]])
    values, variance = sampled_majority(classes, weights, right, 400, np.random.default_rng(1))
    for k in range(1, len(drawn) + 1):
        subsets = [elected(subset, share) for subset in combinations(drawn, k)]
        assert values[0, k - 1] == pytest.approx(sum(subsets) / len(subsets), abs=5 * variance[0, k - 1] ** 0.5 + 1e-9)
    assert variance[0, -1] == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=60)
@given(answers)
def test_a_sampled_majority_with_equal_weights_is_the_exact_one(drawn: list[tuple[int | None, bool]]) -> None:
    """Two ways to one figure."""
    share = shares(drawn)
    votes = Counter(answer for answer, _ in drawn if answer is not None)
    verified = np.array([votes[answer] * share[answer] for answer in votes])
    exact = majority_at_k(np.array(list(votes.values()), int), verified, sum(answer is None for answer, _ in drawn))
    classes = np.array([[-1 if answer is None else answer for answer, _ in drawn]])
    right = np.array([[float(r) for _, r in drawn]])
    values, variance = sampled_majority(classes, np.ones(right.shape), right, 300, np.random.default_rng(2))
    assert values[0] == pytest.approx(exact, abs=5 * float(variance.max()) ** 0.5 + 1e-9)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([None, 0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=7))
def test_best_at_k_takes_the_highest_score_of_each_subset(drawn: list[tuple[float | None, bool]]) -> None:
    """Equal scores by lot; a candidate without a score only where none of the subset has one."""
    ranked = [(-1.0 if score is None else score, right) for score, right in drawn]
    scores = np.array([np.nan if score is None else score for score, _ in drawn])
    right = np.array([float(right) for _, right in drawn])
    doubled = best_at_k(
        np.repeat([0, 1], len(drawn)), np.tile(scores, 2), np.concatenate([right, 1 - right]), len(drawn)
    )
    for k in range(1, len(drawn) + 1):
        chosen = []
        for subset in combinations(ranked, k):
            top = [right for score, right in subset if score == max(score for score, _ in subset)]
            chosen.append(sum(top) / len(top))
        assert doubled[0, k - 1] == pytest.approx(np.mean(chosen), abs=1e-12)
        assert doubled[1, k - 1] == pytest.approx(1 - np.mean(chosen), abs=1e-12)


def test_a_curve_stops_where_too_few_queries_go_on() -> None:
    """At the last k that 95 % of the queries have; the first candidate is always told."""
    assert reach(np.array([4, 3]), np.array([95, 5])) == 4
    assert reach(np.array([4, 3]), np.array([94, 6])) == 3
    assert reach(np.array([4, 0]), np.array([50, 50])) == 1
    assert reach(np.zeros(0, int), np.zeros(0, int)) == 1


def test_the_candidates_for_a_wanted_rate_come_with_how_sure_that_is() -> None:
    """A rate nearly met at 2 may as well take 1 or 3; one that is never met has no end."""
    curve = [0.4, 0.61, 0.7]
    assert candidates_for(curve, 0.6) == 2
    assert candidates_for(curve, 0.8) is None
    scored, times = np.full(4, 3), np.array([30, 30, 20, 20])
    means = resampled_means([(pass_at_k(scored, np.arange(4), 3), times)])
    assert means.mean(axis=0) == pytest.approx(times @ pass_at_k(scored, np.arange(4), 3) / 100, abs=0.01)
    low, high = first_reaching(means, float(means[:, 1].mean()))
    assert (low, high) == (2, 3)
    assert first_reaching(means, 0.999) == (4, None)


def test_splits_are_resampled_apart() -> None:
    """Two splits that are each all right or all wrong vary in no resample."""
    parts = [(np.ones((1, 1)), np.array([50])), (np.zeros((1, 1)), np.array([50]))]
    assert resampled_means(parts).std() == pytest.approx(0.0)
    together = (np.array([[0.0], [1.0]]), np.array([50, 50]))
    assert resampled_means([together]).std() == pytest.approx(0.05, abs=0.005)


@settings(max_examples=60)
@given(queries)
def test_the_verification_rate_is_the_plain_mean_over_candidates(drawn: list[list[bool]]) -> None:
    """All candidates count alike, as the seed's pandas mean has it."""
    flat = [right for one in drawn for right in one]
    assert rate(*counted(drawn)).estimate == pytest.approx(sum(flat) / len(flat))


@settings(max_examples=60)
@given(queries, st.integers(1, 3))
def test_no_interval_has_zero_width_and_each_holds_its_rate(drawn: list[list[bool]], splits: int) -> None:
    """Also where all candidates are right, or all are wrong, and in several splits."""
    scored, verified = counted(drawn)
    parts = [Sums.of((verified / scored)[at::splits], scored[at::splits].astype(float)) for at in range(splits)]
    found: Any
    for found in (rate(scored, verified), average(parts, float(scored.sum())), binary_rate(len(drawn), len(drawn))):
        low, high = found.ci95
        assert 0 <= low <= found.estimate + 1e-12
        assert found.estimate - 1e-12 <= high <= 1
        assert high - low > 1e-3


@settings(max_examples=60)
@given(st.integers(1, 300), st.data())
def test_binary_rates_have_wilsons_interval_or_clopper_and_pearsons(n: int, data: st.DataObject) -> None:
    """As scipy and statsmodels compute them: the first in the middle, the second where few are right or wrong."""
    successes = data.draw(st.integers(0, n))
    test = binomtest(successes, n)
    theirs = {method: test.proportion_ci(method=method) for method in ("wilson", "exact")}
    assert wilson(successes / n, n) == pytest.approx(tuple(theirs["wilson"]))
    assert clopper_pearson(successes / n, n) == pytest.approx(tuple(theirs["exact"]))
    few = min(successes, n - successes) <= max(4, 0.1 * n)
    expected = proportion_confint(successes, n, method="beta" if few else "wilson")
    assert binary_rate(successes, n).ci95 == pytest.approx(tuple(np.nan_to_num(expected, nan=float(successes > 0))))


@settings(max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_with_one_candidate_a_query_the_rate_is_binary(drawn: list[bool]) -> None:
    """A query with one candidate is a binary outcome and nothing more."""
    scored, verified = counted([[right] for right in drawn])
    assert rate(scored, verified).ci95 == pytest.approx(binary_rate(sum(drawn), len(drawn)).ci95)


def width(estimate: Any) -> float:
    """Of an interval."""
    return float(estimate.ci95[1] - estimate.ci95[0])


def test_candidates_that_repeat_each_other_add_nothing() -> None:
    """Ten equal answers to a query narrow the interval no more than one."""
    right = np.array([1, 0] * 20)
    once, ten_times = rate(np.ones(40, int), right), rate(np.full(40, 10), 10 * right)
    assert width(ten_times) == pytest.approx(width(once), rel=0.02)


def test_an_interval_is_never_narrower_than_independent_candidates_allow() -> None:
    """Queries that agree with each other by chance do not count for more candidates than there are."""
    alike = rate(np.full(50, 4), np.full(50, 2))
    assert width(alike) >= (lambda ends: ends[1] - ends[0])(wilson(0.5, 200)) - 1e-12


def test_splits_that_differ_narrow_the_interval_of_all() -> None:
    """Each split was sampled apart, so what lies between them is no chance."""
    easy, hard = Sums.binary(90, 100), Sums.binary(10, 100)
    apart, together = average([easy, hard], 200), average([easy + hard], 200)
    assert apart.estimate == together.estimate == 0.5
    assert width(apart) == pytest.approx(0.6 * width(together), rel=0.05)
    alike = average([Sums.binary(50, 100), Sums.binary(50, 100)], 200)
    assert width(alike) == pytest.approx(width(together), rel=0.02)


def test_equal_queries_may_be_counted_together() -> None:
    """A value that stands for several queries is the same as so many values."""
    values, weights = np.array([0.0, 0.5, 1.0]), np.array([1.0, 2.0, 4.0])
    times = np.array([3, 1, 2])
    apart = Sums.of(np.repeat(values, times), np.repeat(weights, times))
    together = average([Sums.of(values, weights, times)], 20)
    assert together.ci95 == pytest.approx(average([apart], 20).ci95)


def test_nothing_scored_gives_no_rate() -> None:
    """Without scored candidates there is no rate, rather than a zero."""
    assert binary_rate(0, 0).estimate is None
    assert average([Sums.of(np.zeros(0))], 0).ci95 is None
