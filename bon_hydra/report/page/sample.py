"""Which queries a page holds: all, or a sample that is the same for every run and every time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from bon_hydra.report.page.queries import Key, Outcomes


def choose(runs: Sequence[Outcomes], limit: int) -> list[Key]:
    """The queries to show, so that no run shows more than `limit` candidates; all of them where they fit.

    A sample is drawn by a hash of each query's split and id, so it depends on nothing but the queries: those that more
    of the runs have come first, then the splits take turns. A query is shown with all of its candidates or not at all;
    one is shown even where it alone is too large.
    """
    order = list(dict.fromkeys(key for run in runs for key in run))
    if all(sum(len(outcome.rows) for outcome in run.values()) <= limit for run in runs):
        return order
    taken: Counter[tuple[int, str]] = Counter()
    turns: dict[Key, tuple[int, int]] = {}
    for key in sorted(order, key=_draw):
        missing = sum(key not in run for run in runs)
        turns[key] = (missing, taken[missing, key[0]])
        taken[missing, key[0]] += 1
    kept: set[Key] = set()
    room = [limit] * len(runs)
    for key in sorted(turns, key=turns.__getitem__):
        needed = [len(run[key].rows) if key in run else 0 for run in runs]
        if not kept or all(need <= left for need, left in zip(needed, room, strict=True)):
            kept.add(key)
            room = [left - need for need, left in zip(needed, room, strict=True)]
    return [key for key in order if key in kept]


def _draw(key: Key) -> bytes:
    return hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest()
