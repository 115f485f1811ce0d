"""Two runs are compared query by query: the test is exact, the interval holds, and many comparisons are adjusted."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from bon_hydra.statistics import compare, holm, pass_at_k, sign_flip

exactly = settings(max_examples=60)
differences = st.lists(st.integers(-4, 4), min_size=1, max_size=10).map(lambda drawn: np.array(drawn) / 4)


@exactly
@given(differences)
def test_the_p_value_is_over_all_signs(drawn: np.ndarray) -> None:
    """The plain one counts sums as large as the one seen, the mid-p counts those that are equal by half."""
    seen = abs(drawn.sum())
    sums = np.abs([np.dot(signs, drawn) for signs in product([-1, 1], repeat=len(drawn))])
    larger, equal = np.mean(sums > seen + 1e-9), np.mean(np.abs(sums - seen) <= 1e-9)
    test = sign_flip(drawn)
    assert test.p_value_exact == pytest.approx(larger + equal, abs=1e-9)
    assert test.p_value == pytest.approx(larger + equal / 2 if drawn.any() else 1.0, abs=1e-9)


def test_the_plain_p_value_is_scipys() -> None:
    """Of a permutation test of paired samples."""
    draw = np.random.default_rng(0)
    a, b = draw.binomial(8, 0.4, 12) / 8, draw.binomial(8, 0.7, 12) / 8
    theirs = permutation_test(
        (b, a), lambda x, y: float(np.mean(x - y)), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(b - a).p_value_exact == pytest.approx(theirs.pvalue, abs=1e-9)


@exactly
@given(st.integers(0, 40), st.integers(0, 40))
def test_with_one_candidate_it_is_mcnemars_test(wins: int, losses: int) -> None:
    """As statsmodels has it, and the binomial test behind it."""
    drawn = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 5)
    test = sign_flip(drawn)
    assert test.p_value_exact == pytest.approx(mcnemar([[5, wins], [losses, 5]], exact=True).pvalue, abs=1e-9)
    if wins + losses:
        at = binomtest(wins, wins + losses)
        assert test.p_value_exact == pytest.approx(min(1.0, at.pvalue), abs=1e-9)
        assert "exact" in test.method
        assert "McNemar" in test.method


def test_differences_without_a_common_unit_are_sampled() -> None:
    """The method says so, and the figure is close to the exact one of nearly the same differences."""
    draw = np.random.default_rng(3)
    whole = draw.integers(-8, 9, 60) / 16 + 1 / 16
    odd = whole + draw.normal(0, 1e-5, 60)
    sampled, exact = sign_flip(odd), sign_flip(whole)
    assert "seeded resamples" in sampled.method
    assert sampled.p_value_exact is None
    assert sampled.p_value == pytest.approx(exact.p_value, abs=0.01)
    assert sign_flip(odd).p_value == sampled.p_value


def test_ragged_candidates_and_large_k_stay_exact() -> None:
    """Rates of 3, 4 and 16 candidates have a common denominator."""
    draw = np.random.default_rng(4)
    scored = draw.choice([3, 4], 200)
    rates = [draw.binomial(scored, 0.5) / scored for _ in "ab"]
    assert "exact" in sign_flip(rates[1] - rates[0]).method
    curves = [pass_at_k(np.full(200, 16), draw.binomial(16, 0.3, 200), 4)[:, 3] for _ in "ab"]
    assert "exact" in sign_flip(curves[1] - curves[0]).method


def test_a_comparison_counts_wins_losses_and_ties() -> None:
    """A win is a query on which b is better."""
    a, b = np.array([0.0, 0.5, 1.0, 0.25]), np.array([1.0, 0.5, 0.75, 0.5])
    found = compare(a, b)
    assert (found.wins, found.losses, found.ties) == (2, 1, 1)
    assert found.difference == pytest.approx(0.25)
    assert (found.rate_a, found.rate_b) == pytest.approx((0.4375, 0.6875))
    back = compare(b, a)
    assert back.difference == pytest.approx(-0.25)
    assert back.p_value == found.p_value
    assert back.ci95 is not None
    assert found.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]))


def test_equal_runs_differ_by_nothing_but_not_for_certain() -> None:
    """p is 1; the interval has a width all the same, and there is an effect that could not have been seen."""
    same = np.full(50, 0.5)
    found = compare(same, same.copy())
    assert found.p_value == 1.0
    assert found.ci95 is not None
    assert found.ci95[0] < -0.01 < 0.01 < found.ci95[1]
    assert found.minimum_detectable_effect is not None
    assert found.minimum_detectable_effect > 0.02


def test_no_shared_query_or_one_are_no_crash() -> None:
    """Nothing can be said of none, hardly anything of one."""
    assert compare(np.zeros(0), np.zeros(0)).p_value is None
    one = compare(np.zeros(1), np.ones(1))
    assert one.p_value == 0.5
    assert one.ci95 is not None
    assert one.ci95[0] < 0


def test_the_minimum_detectable_effect_is_found_four_times_in_five() -> None:
    """In simulation, with the effect that one comparison states."""
    draw = np.random.default_rng(5)
    chance = draw.uniform(0.2, 0.8, 150)

    def once(effect: float) -> Any:
        a, b = (draw.binomial(4, p) / 4 for p in (chance, np.minimum(chance + effect, 1.0)))
        return compare(a, b)

    effect = float(np.mean([once(0.0).minimum_detectable_effect for _ in range(20)]))
    found = np.mean([once(effect).p_value <= 0.05 for _ in range(400)])
    assert 0.72 <= found <= 0.88


def test_splits_that_moved_apart_narrow_the_interval() -> None:
    """The difference between splits is no noise."""
    draw = np.random.default_rng(6)
    split = np.repeat([0, 1], 100)
    a = draw.binomial(4, 0.5, 200) / 4
    b = np.clip(a + np.where(split == 0, 0.5, -0.25), 0, 1)
    apart, together = compare(a, b, split), compare(a, b)
    assert apart.ci95 is not None
    assert together.ci95 is not None
    assert apart.ci95[1] - apart.ci95[0] < 0.8 * (together.ci95[1] - together.ci95[0])


@exactly
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_what_statsmodels_computes(p_values: list[float]) -> None:
    """And comparisons that could not be made do not count."""
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected)
    gaps = holm([None, *p_values, None])
    assert gaps[0] is gaps[-1] is None
    assert gaps[1:-1] == pytest.approx(expected)
