"""The soaks of `benchmarks/reliability`, in small: kills in every phase, failing servers, budgets drawn at random."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "reliability"))
kills, faults, budgets = (import_module(name) for name in ("kills", "faults", "budgets"))


def missed(figures: Iterable[Any]) -> list[str]:
    return [f"{figure.name}: {figure.found}, wanted {figure.wanted}" for figure in figures if not figure.met]


def test_a_run_killed_while_it_starts_samples_writes_and_ends_is_as_an_undisturbed_one(tmp_path: Path) -> None:
    """Nothing asked again, missing, double or left behind; where exactly each kill lands is chance."""
    size = kills.Size(24, 2, 4, (1, 1, 0, 1, 1), 0.03, 2, 0.05)
    _, *figures = kills.soak(size, tmp_path, random.Random(1))
    assert missed(figures) == []


def test_a_server_that_fails_one_request_in_six_leaves_the_same_file(tmp_path: Path) -> None:
    """Whether it says when to come again or not; and no answered candidate is asked for again."""
    size = faults.Size(30, 3, 8, 0.01, 2.0)
    undisturbed = faults.draw(size, faults.NONE, tmp_path / "none")
    for name in ("WITH", "WITHOUT"):
        disturbed = faults.draw(size, getattr(faults, name), tmp_path / name)
        assert missed(faults.figures_of(name, disturbed, [undisturbed], size, timed=False)) == []


def test_no_bill_exceeds_its_budget(tmp_path: Path) -> None:
    """Runs drawn at random, their failures, kills and interruptions included."""
    outcomes = budgets.drive(range(1, 7), tmp_path)
    assert [(one.plan.number, one.wrong or one.missed()) for one in outcomes if one.wrong or one.missed()] == []
    assert any(one.stops for one in outcomes)
    assert any(one.status == "budget_reached" for one in outcomes)
