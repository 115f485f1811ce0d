"""Which queries a page holds: all, or a sample that is the same for every run and every time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bon_hydra.runs import read_batches

Key = tuple[str, str]
"""A query: its split and its id."""

Places = dict[Key, list[int]]
"""Where the rows of each query are in a run's file, from 0, in the file's order."""

NO_SPLIT = "(none)"
"""What a row without a split is counted under, as in the summary."""


def key_of(row: Mapping[str, object]) -> Key:
    """The query that a row belongs to."""
    split = row["split"]
    return (NO_SPLIT if split is None else str(split)), str(row["query_id"])


def places(path: Path) -> Places:
    """Find every query's rows. Raises ConfigError as `runs` does."""
    found: Places = {}
    at = 0
    for batch in read_batches(path, ("split", "query_id")):
        for row in batch.to_pylist():
            found.setdefault(key_of(row), []).append(at)
            at += 1
    return found


def choose(runs: Sequence[Places], limit: int) -> list[Key]:
    """The queries to show, so that no run shows more than `limit` candidates; all of them where they fit.

    A sample is drawn by a hash of each query's split and id, so it depends on nothing but the queries: queries that more of
    the runs have come first, then the splits take turns. A query is shown with all of its candidates or not at all;
    one is shown even where it alone is too large.
    """
    order = list(dict.fromkeys(key for run in runs for key in run))
    if all(sum(map(len, run.values())) <= limit for run in runs):
        return order
    shared = {key: sum(key in run for run in runs) for key in order}
    taken: Counter[tuple[int, str]] = Counter()
    turns: dict[Key, tuple[int, int]] = {}
    for key in sorted(order, key=_draw):
        group = (-shared[key], key[0])
        turns[key] = (-shared[key], taken[group])
        taken[group] += 1
    kept: set[Key] = set()
    room = [limit] * len(runs)
    for key in sorted(turns, key=turns.__getitem__):
        needed = [len(run.get(key, ())) for run in runs]
        if not kept or all(need <= left for need, left in zip(needed, room, strict=True)):
            kept.add(key)
            room = [left - need for need, left in zip(needed, room, strict=True)]
    return [key for key in order if key in kept]


def _draw(key: Key) -> bytes:
    return hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest()
