"""Which points of a sweep can't be told from its best: marked with the error they promise, in simulation."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from bon_hydra.statistics import standings

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "statistics"))
simulated = import_module("coverage")


def test_points_as_good_as_the_best_are_told_from_those_that_are_not() -> None:
    """One clearly worse point, one that is nearly the best, one with queries of its own."""
    draw = np.random.default_rng(7)
    chance = draw.uniform(0.3, 0.9, 200)
    points = {
        "n=4": draw.binomial(4, chance) / 4,
        "n=8": draw.binomial(8, chance) / 8,
        "worse": draw.binomial(4, chance * 0.6) / 4,
        "elsewhere": np.full(200, np.nan),
    }
    found = standings(points)
    best = next(name for name, one in found.items() if one.is_best)
    assert best in ("n=4", "n=8")
    assert found["n=4"].as_good
    assert found["n=8"].as_good
    assert not found["worse"].as_good
    assert found["worse"].difference is not None
    assert (found["worse"].difference.difference or 0) < -0.1
    assert found["elsewhere"].rate is None
    assert not found["elsewhere"].as_good
    assert standings({}) == {}


def test_of_equal_points_one_is_called_worse_in_at_most_one_sweep_of_twenty() -> None:
    """Although the best was chosen by looking."""
    draw = np.random.default_rng(8)
    wrong = 0
    for _ in range(200):
        chance = draw.beta(1, 1, 100)
        points = {str(at): draw.binomial(4, chance) / 4 for at in range(5)}
        wrong += not all(one.as_good for one in standings(points).values())
    assert wrong / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


def test_points_of_the_same_draws_overlap_and_are_not_tested() -> None:
    """Only those of other draws are; of equally good points the first is the best."""
    draw = np.random.default_rng(3)
    hot, cold = ((draw.random(60) < rate).astype(np.float64) for rate in (0.9, 0.4))
    points = {"hot 1": 0.8 * hot, "hot 2": hot, "hot 4": hot, "cold 1": cold, "cold 2": cold}
    found = standings(points, {name: name.split()[0] for name in points})
    assert [name for name, one in found.items() if one.is_best] == ["hot 2"]
    assert [name for name, one in found.items() if one.overlaps] == ["hot 1", "hot 4"]
    assert [name for name, one in found.items() if one.difference] == ["cold 1", "cold 2"]
    assert not found["hot 4"].as_good


def test_another_point_may_take_the_place_of_the_best() -> None:
    """Then the comparisons were chosen before looking, and only they count in Holm's adjustment."""
    draw = np.random.default_rng(4)
    points = {str(at): (draw.random(80) < 0.2 + at / 10).astype(np.float64) for at in range(4)}
    found = standings(points, against="0")
    assert found["0"].difference is None
    assert not found["0"].is_best
    assert found["3"].is_best
    assert found["3"].difference is not None
    assert (found["3"].difference.difference or 0) > 0
    assert (found["3"].p_holm or 0) <= 3 * (found["3"].difference.p_value or 0) + 1e-12


def test_without_a_query_that_all_have_nothing_is_ranked() -> None:
    """Rates over different queries say nothing of the points."""
    found = standings({"a": np.array([1.0, np.nan]), "b": np.array([np.nan, 0.0])})
    assert not any(one.is_best or one.as_good or one.overlaps or one.difference for one in found.values())


@pytest.mark.parametrize("sizes", [(1,), (1, 2, 4)])
def test_the_true_best_is_left_out_in_at_most_one_sweep_of_twenty(sizes: tuple[int, ...]) -> None:
    """Where another is nearly as good, and where several are as good: none of them, in so many."""
    times = 100
    slack = 2 * (0.05 * 0.95 / times) ** 0.5
    nearly = simulated.marks((0.4, 0.395, 0.39), sizes, 60, times)
    equal = simulated.marks((0.4, 0.4, 0.4), sizes, 60, times, seed=1)
    assert nearly.best_left_out <= 0.05 + slack
    assert equal.equal_left_out <= 0.05 + slack
    assert simulated.marks((0.5, 0.1), sizes, 60, 40).worse_told > 0.9
