"""Verdicts that a person should look at: what in a run's own file speaks against them.

A verdict that is disputed need not be wrong, and one that is not disputed need not be right: these are the places where
wrong ones are likelier. This module judges nothing and asks nobody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bon_hydra.runs import read_batches

COLUMNS = ("split", "query_id", "is_verified", "verdict", "answer", "answer_class", "reference", "response")
UNSETTLED = ("timeout", "unverifiable", "verifier_error")


def disputed(path: Path) -> dict[int, str]:
    """Row of the file -> why its verdict is disputed, for those that are."""
    found: dict[int, str] = {}
    first = 0
    for _, group in groupby(_rows(path), key=lambda row: (row["split"], row["query_id"])):
        rows = list(group)
        found |= {first + at: why for at, why in enumerate(disputes(rows)) if why}
        first += len(rows)
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for batch in read_batches(path, COLUMNS, few=True):
        yield from batch.to_pylist()


def disputes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What speaks against the verdict of each candidate of one query; empty where nothing does."""
    given = [_answer(row) for row in rows]
    votes = Counter(answer for answer in given if answer is not None)
    most, agreeing = votes.most_common(1)[0] if votes else (None, 0)
    agreed = agreeing > 1 and 2 * agreeing > votes.total()
    right = {answer for answer, row in zip(given, rows, strict=True) if row["is_verified"]}
    wrong = {answer for answer, row in zip(given, rows, strict=True) if row.get("verdict") == "fail"}
    found = []
    for answer, row in zip(given, rows, strict=True):
        verdict = row.get("verdict") or ("pass" if row["is_verified"] else "fail")
        why = ""
        if verdict in UNSETTLED:
            why = f"not settled: {verdict}"
        elif answer is not None and answer in right & wrong:
            why = "the same answer was judged both ways"
        elif agreed and verdict == "fail" and answer == most:
            why = f"judged wrong, and {agreeing} of {votes.total()} answers agree on it"
        elif agreed and verdict == "pass" and answer != most:
            why = f"judged right, and {agreeing} of {votes.total()} answers agree on another one"
        elif verdict in ("fail", "no_answer") and _ends_with(row.get("response"), row.get("reference")):
            why = "judged wrong, and it ends with the reference"
        found.append(why)
    return found


def _answer(row: Mapping[str, Any]) -> Hashable:
    """Equal for answers that count as the same; None where there is none, as for programs."""
    number = row.get("answer_class")
    return row.get("answer") if number is None else number


def _ends_with(response: str | None, reference: str | None) -> bool:
    if not response or not reference or not (reference := reference.strip()):
        return False
    return re.search(rf"(?<![\w.]){re.escape(reference)}\W*$", response) is not None
