"""The labelled answers of the accuracy bench: nothing wrong passes, and nothing right is turned away."""

from __future__ import annotations

import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "verifiers"))
accuracy = import_module("accuracy")

MATH = accuracy.math_pairs()
CALLS = accuracy.tool_call_pairs()
MATH_FORMS = list(dict.fromkeys(pair.form for pair in MATH))
CALL_FORMS = list(dict.fromkeys(pair.form for pair in CALLS))


def of_form(pairs: list[accuracy.Pair], form: str) -> list[accuracy.Pair]:  # type: ignore[name-defined]
    return [pair for pair in pairs if pair.form == form]


@pytest.mark.parametrize("form", MATH_FORMS)
def test_math_answers_are_judged_as_labelled(form: str) -> None:
    """No wrong answer that looks right passes, and no right one in another dress fails."""
    assert accuracy.errors(of_form(MATH, form), accuracy.ours) == (Counter(), Counter())


@pytest.mark.parametrize("form", CALL_FORMS)
def test_tool_calls_are_judged_as_labelled(form: str) -> None:
    """No call that differs in meaning passes, and none that says the same fails."""
    assert accuracy.errors(of_form(CALLS, form), accuracy.ours_of_calls) == (Counter(), Counter())


def test_the_labelled_answers_are_many_and_half_of_them_are_wrong() -> None:
    """A bench of right answers only would say nothing of false positives, and the other way about."""
    assert len(MATH) >= 300
    assert len(CALLS) >= 100
    for pairs in (MATH, CALLS):
        assert 0.3 <= sum(pair.right for pair in pairs) / len(pairs) <= 0.7


def test_no_answer_is_labelled_both_ways() -> None:
    """One reference and one answer have one label."""
    labels: dict[object, set[bool]] = {}
    for pair in MATH + CALLS:
        labels.setdefault((pair.task, pair.completion), set()).add(pair.right)
    assert [pair for pair, both in labels.items() if len(both) > 1] == []


def test_errors_are_told_apart_by_kind_and_form() -> None:
    """A verifier that passes everything has false positives only, one that passes nothing false negatives only."""
    wrong, right = (Counter(pair.form for pair in MATH if pair.right is label) for label in (False, True))
    assert accuracy.errors(MATH, lambda _: True) == (wrong, Counter())
    assert accuracy.errors(MATH, lambda _: False) == (Counter(), right)
