"""Intervals hold the truth as often as they say, and tests call equal runs different as rarely: in simulation."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "statistics"))
simulated = import_module("coverage")

TIMES = 300


def slack(share: float, times: int) -> float:
    """Three standard errors of a simulated share."""
    return 3 * float((share * (1 - share) / times) ** 0.5)


@pytest.mark.parametrize("queries", [30, 100, 500])
def test_binary_rates_are_covered(queries: int) -> None:
    """Exactly computed. At 30 queries neither Wilson's nor Clopper and Pearson's interval does better at 0.1."""
    inside = simulated.binary_coverage(simulated.ours, queries, np.arange(1, 10) / 10)
    assert inside.min() >= 0.93
    assert inside.max() <= (0.975 if queries == 30 else 0.97)
    edges = np.concatenate([np.linspace(0.001, 0.0999, 200), np.linspace(0.9001, 0.999, 200)])
    assert simulated.binary_coverage(simulated.ours, queries, edges).min() >= 0.93


@pytest.mark.parametrize("queries", [30, 100, 500])
@pytest.mark.parametrize("alike", ["alike", "independent"])
@pytest.mark.parametrize("figure", simulated.FIGURES[:4], ids=lambda figure: figure.name)
def test_averages_over_queries_are_covered(figure: simulated.Figure, alike: str, queries: int) -> None:  # type: ignore[name-defined]
    """93 to 97 % (at 30 queries to 98 %) for true rates of 0.1 to 0.9, at least 93 % outside."""
    spread, most = simulated.ALIKE[alike], 0.98 if queries == 30 else 0.97
    for seed, rate in enumerate((0.1, 0.3, 0.5, 0.9)):
        held = simulated.coverage(figure, rate, spread, queries, TIMES, seed)
        assert 0.93 - slack(0.93, TIMES) <= held <= most + slack(most, TIMES), rate
    for seed, rate in enumerate((0.01, 0.05, 0.97)):
        held = simulated.coverage(figure, rate, spread, queries, TIMES, seed)
        assert held >= 0.93 - slack(0.93, TIMES), rate


def test_averages_are_covered_on_the_whole() -> None:
    """Over many rates and correlations together, where chance averages out."""
    held = [
        simulated.coverage(simulated.FIGURES[0], rate, alike, 100, 100, seed)
        for seed, alike in enumerate(simulated.ALIKE.values())
        for rate in simulated.INSIDE
    ]
    assert 0.94 <= np.mean(held) <= 0.96


@pytest.mark.parametrize("candidates", [1, 4])
@pytest.mark.parametrize("queries", [30, 100])
@pytest.mark.parametrize("rates", [(0.02, 0.98), (0.02, 0.9), (0.98, 0.98, 0.02)])
def test_a_run_of_splits_nearly_all_right_or_all_wrong_is_covered(
    rates: tuple[float, ...], queries: int, candidates: int
) -> None:
    """A split without a single right (or wrong) answer is no sign that there are none."""
    for seed, alike in enumerate(("nearly all alike", "alike")):
        held = simulated.overall_coverage(rates, simulated.ALIKE[alike], queries, candidates, 200, seed)
        assert held >= 0.93 - slack(0.93, 200), alike


@pytest.mark.parametrize(("candidates", "k", "queries"), [(4, 1, 100), (8, 4, 100), (4, 1, 300), (16, 1, 100)])
def test_equal_runs_are_called_different_once_in_twenty(candidates: int, k: int, queries: int) -> None:
    """At most 6 %, at least 4 %; and the interval of the difference holds 0."""
    times = 1200 if k == 1 else 600  # its sums have many more values
    found = simulated.rejections(0.4, 2.0, queries, candidates, k, times)
    assert 0.04 - slack(0.04, times) <= found.mid_p <= 0.06 + slack(0.06, times)
    assert found.plain <= 0.05 + slack(0.05, times)
    assert found.interval >= 0.93


def test_with_few_queries_and_candidates_equal_runs_are_called_different_more_rarely() -> None:
    """Never more often than they should be."""
    times = 800
    for candidates, queries in ((1, 30), (1, 100), (4, 30)):
        assert simulated.rejections(0.3, 1.0, queries, candidates, 1, times).mid_p <= 0.06 + slack(0.06, times)


@pytest.mark.parametrize(("candidates", "k"), [(1, 1), (4, 1), (8, 4)])
def test_a_true_difference_lies_in_the_interval(candidates: int, k: int) -> None:
    """Where the second run solves a fifth of what the first does not."""
    times = 400
    found = simulated.rejections(0.4, 1.0, 100, candidates, k, times, better=0.2)
    assert found.interval >= 0.93 - slack(0.93, times)
    assert found.mid_p > 0.1
