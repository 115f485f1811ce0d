"""Two runs on the queries they share: how many candidates of each query are right in the one and in the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from bon_hydra.report.page.sample import Key, key_of
from bon_hydra.runs import read_batches

MOST_RUNS = 8
"""Of more runs than these, only each with the first is paired."""


def right_candidates(path: Path) -> dict[Key, int]:
    """The number of verified candidates of each query that has a scored one. Raises ConfigError as `runs` does."""
    right: Counter[Key] = Counter()
    for batch in read_batches(path, ("split", "query_id", "is_verified", "is_scored")):
        for row in batch.to_pylist():
            if row.get("is_scored", True):
                right[key_of(row)] += bool(row["is_verified"])
    return dict(right)


def pairs(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """For each two runs that share queries: `a`, `b` (their places), and what they share overall and by split.

    Of each section `cells`: [right in a, right in b, queries], `shared` queries, and in how many of them `b` has
    `more`, `fewer` or as many (`same`) right candidates.
    """
    runs = [right_candidates(path) for path in paths] if len(paths) > 1 else []
    chosen = [(a, b) for a, b in combinations(range(len(runs)), 2) if len(runs) <= MOST_RUNS or a == 0]
    found = [{"a": a, "b": b, **_sections(runs[a], runs[b])} for a, b in chosen]
    return [pair for pair in found if pair["overall"]["shared"]]


def _sections(a: Mapping[Key, int], b: Mapping[Key, int]) -> dict[str, Any]:
    counts: dict[str, Counter[tuple[int, int]]] = {}
    for key, right in a.items():
        if key in b:
            counts.setdefault(key[0], Counter())[right, b[key]] += 1
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
