"""Two runs on the queries they share: how many candidates of each query are right in the one and in the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from bon_hydra.report.page.queries import Outcomes

MOST_RUNS = 8
"""Of more runs than these, only each with the first is paired."""


def pairs(runs: Sequence[Outcomes]) -> list[dict[str, Any]]:
    """For each two runs that share queries: `a`, `b` (their places), and what they share overall and by split.

    Shared are queries that have a scored candidate in both. Of each section: `cells`: [right in a, right in b,
    queries]; `shared` queries; in how many of them `b` has `more`, `fewer` or as many (`same`) right candidates.
    """
    chosen = [(a, b) for a, b in combinations(range(len(runs)), 2) if len(runs) <= MOST_RUNS or a == 0]
    found = [{"a": a, "b": b, **_sections(runs[a], runs[b])} for a, b in chosen]
    return [pair for pair in found if pair["overall"]["shared"]]


def _sections(a: Outcomes, b: Outcomes) -> dict[str, Any]:
    counts: dict[str, Counter[tuple[int, int]]] = {}
    for key, outcome in a.items():
        other = b.get(key)
        if other and other.scored and outcome.scored:
            counts.setdefault(key[0], Counter())[outcome.right, other.right] += 1
    overall = sum(counts.values(), Counter[tuple[int, int]]())
    return {"overall": _section(overall), "splits": {split: _section(each) for split, each in counts.items()}}


def _section(counts: Mapping[tuple[int, int], int]) -> dict[str, Any]:
    return {
        "cells": [[a, b, count] for (a, b), count in sorted(counts.items())],
        "shared": sum(counts.values()),
        "more": sum(count for (a, b), count in counts.items() if b > a),
        "fewer": sum(count for (a, b), count in counts.items() if b < a),
        "same": sum(count for (a, b), count in counts.items() if b == a),
    }
