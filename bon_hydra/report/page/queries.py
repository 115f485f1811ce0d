"""A run's queries, as one pass over a few short columns tells them: where their rows are, how many are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bon_hydra.runs import read_batches

Key = tuple[str, str]
"""A query: its split and its id."""

NO_SPLIT = "(none)"
"""What a row without a split is counted under, as in the summary."""


@dataclass(slots=True)
class Outcome:
    """What became of one query in one run."""

    rows: list[int] = field(default_factory=list)
    """Where its candidates are in the file, from 0."""
    scored: int = 0
    right: int = 0


Outcomes = Mapping[Key, Outcome]
"""Of each query, in the file's order."""


def key_of(split: str | None, query_id: str | None) -> Key:
    """The query that a row with these columns belongs to."""
    return NO_SPLIT if split is None else split, str(query_id)


def read_outcomes(path: Path) -> dict[Key, Outcome]:
    """Find and count every query's candidates. Raises ConfigError as `runs` does.

    A file without `is_scored` is of the seed's system, which scored all of them.
    """
    found: dict[Key, Outcome] = {}
    at = 0
    for batch in read_batches(path, ("split", "query_id", "is_verified", "is_scored")):
        columns = {name: batch[name].to_pylist() for name in batch.schema.names}
        scored = columns.get("is_scored", [True] * len(batch))
        for split, query_id, verified, counts in zip(
            columns["split"], columns["query_id"], columns["is_verified"], scored, strict=True
        ):
            outcome = found.setdefault(key_of(split, query_id), Outcome())
            outcome.rows.append(at)
            if counts:
                outcome.scored += 1
                outcome.right += bool(verified)
            at += 1
    return found
