"""Counting a run: one pass over the columns of its parquet file that figures are made of.

What comes out are numbers a query and totals a split; this module makes no rates of them (that is `summary`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bon_hydra.records import VERDICTS
from bon_hydra.runs import read_batches, read_metadata
from bon_hydra.statistics import Ballot

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "query_id",
    "split",
    "candidate_idx",
    "is_verified",
    "is_scored",
    "verdict",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "answer_class",
)


@dataclass
class Counts:
    """What was counted in one split, or in a whole run."""

    scored: NDArray[np.int32]
    """(queries,): scored candidates of each query."""
    verified: NDArray[np.int32]
    """(queries,): those of them that are verified."""
    by_index: NDArray[np.int64]
    """(N, 2): scored and verified candidates of each candidate index."""
    candidates: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    truncated: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    """Each None where no candidate says anything of it."""
    votes: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """(queries,) or empty where answers have no classes: each query's place in the run's ballots."""

    @property
    def coverage(self) -> dict[str, int]:
        """Queries with `none`, `some` or `all` of their scored candidates right, and `unscored` ones without any."""
        judged, right = self.scored > 0, self.verified > 0
        full = judged & (self.verified == self.scored)
        return {
            "none": int((judged & ~right).sum()),
            "some": int((right & ~full).sum()),
            "all": int(full.sum()),
            "unscored": int((~judged).sum()),
        }


@dataclass(frozen=True)
class Run:
    """One run as its file tells it."""

    path: Path
    metadata: dict[str, str]
    overall: Counts
    splits: dict[str, Counts]
    ballots: list[Ballot]
    """Every way in which a query's candidates voted."""


def read_run(path: Path) -> Run:
    """Count a run's file. Memory: a few bytes a query beside one batch of rows. Raises ConfigError as `runs` does."""
    metadata = read_metadata(path)
    tally = _Tally()
    for batch in read_batches(path, COLUMNS):
        tally.add(batch)
    tally.flush()
    splits = tally.counts()
    return Run(path, metadata, total(list(splits.values())), splits, [Ballot(*votes) for votes in tally.ballots])


def total(parts: list[Counts]) -> Counts:
    """All splits as one; a query belongs to its split, so nothing is counted twice."""
    by_index = np.zeros((max((len(part.by_index) for part in parts), default=0), 2), np.int64)
    for part in parts:
        by_index[: len(part.by_index)] += part.by_index
    named = {name: sum(part.verdicts.get(name, 0) for part in parts) for part in parts for name in part.verdicts}
    none = np.zeros(0, np.int32)
    return Counts(
        scored=np.concatenate([none, *(part.scored for part in parts)]),
        verified=np.concatenate([none, *(part.verified for part in parts)]),
        by_index=by_index,
        candidates=sum(part.candidates for part in parts),
        verdicts=_in_order(named),
        truncated=sum(part.truncated for part in parts),
        prompt_tokens=_sum([part.prompt_tokens for part in parts]),
        completion_tokens=_sum([part.completion_tokens for part in parts]),
        cost_usd=_sum([part.cost_usd for part in parts]),
        votes=np.concatenate([none, *(part.votes for part in parts)]),
    )


def _in_order(verdicts: dict[str, int]) -> dict[str, int]:
    known = {name: verdicts[name] for name in VERDICTS if name in verdicts}
    return known | verdicts


def _sum(values: list[Any]) -> Any:
    known = [value for value in values if value is not None and not np.isnan(value)]
    return sum(known) if known else None


Votes = tuple[tuple[tuple[int, int], ...], int]
"""A Ballot's two fields, while ballots are told apart by the thousand."""


class _SplitTally:
    """Counts of one split while its rows come by, some thousands at a time."""

    def __init__(self, ballots: dict[Votes, int]) -> None:
        self._ballots = ballots
        self._keys: list[NDArray[np.int64]] = []
        self._votes: list[NDArray[np.int32]] = []
        self._has_classes = False
        self._scored: list[NDArray[np.int32]] = []
        self._verified: list[NDArray[np.int32]] = []
        self._sums: dict[str, list[Any]] = {"prompt_tokens": [], "completion_tokens": [], "cost_usd": []}
        self._counts = Counts(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 2), np.int64))

    def add(self, rows: pa.Table) -> None:
        import pyarrow.compute as pc

        ids, index = rows["query_id"].combine_chunks(), rows["candidate_idx"].to_numpy()
        verified = rows["is_verified"].fill_null(False).to_numpy()
        scored = rows["is_scored"].fill_null(False).to_numpy() if "is_scored" in rows.column_names else verified | True
        right = verified & scored

        changes = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        self._keys.append(np.fromiter(map(hash, ids.take(starts).to_pylist()), np.int64, len(starts)))
        self._scored.append(np.add.reduceat(scored, starts, dtype=np.int32))
        self._verified.append(np.add.reduceat(right, starts, dtype=np.int32))
        if "answer_class" in rows.column_names:
            classes = rows["answer_class"].fill_null(-1).to_numpy().astype(np.int64)
            self._has_classes |= rows["answer_class"].null_count < len(rows)
            self._votes.append(self._count_votes(classes, scored, right, starts))

        counts = self._counts
        counts.candidates += len(rows)
        by_index = np.zeros((max(len(counts.by_index), int(index.max()) + 1), 2), np.int64)
        by_index[: len(counts.by_index)] = counts.by_index
        for column, mask in enumerate((scored, right)):
            by_index[:, column] += np.bincount(index[mask], minlength=len(by_index))
        counts.by_index = by_index
        for name, count in _verdicts(rows, right).items():
            counts.verdicts[name] = counts.verdicts.get(name, 0) + count
        if "finish_reason" in rows.column_names:
            counts.truncated += pc.sum(pc.equal(rows["finish_reason"], "length")).as_py() or 0
        for name, sums in self._sums.items():
            if name in rows.column_names:
                sums.append(pc.sum(rows[name]).as_py())

    def counts(self) -> Counts:
        keys = np.concatenate(self._keys)
        scored, verified = np.concatenate(self._scored), np.concatenate(self._verified)
        counts = self._counts
        distinct, where = np.unique(keys, return_inverse=True)
        if len(distinct) < len(keys):  # not a file of ours: rows of one query stand apart, and were counted apart
            scored = np.bincount(where, scored).astype(np.int32)
            verified = np.bincount(where, verified).astype(np.int32)
        elif self._has_classes:
            counts.votes = np.concatenate(self._votes)
        counts.scored, counts.verified = scored, verified
        counts.verdicts = _in_order(counts.verdicts)
        for name, sums in self._sums.items():
            setattr(counts, name, _sum(sums))
        return counts

    def _count_votes(
        self, classes: NDArray[np.int64], scored: NDArray[np.bool_], right: NDArray[np.bool_], starts: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Each query's place in the ballots, which grow by those that are new; class -1 is no answer."""
        query = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(classes)))[scored]
        width = int(classes.max()) + 2
        groups, where, votes = np.unique(query * width + classes[scored] + 1, return_inverse=True, return_counts=True)
        verified = np.bincount(where, right[scored], len(groups)).astype(np.int64)
        ends = np.searchsorted(groups, np.arange(len(starts) + 1) * width).tolist()
        abstains = (groups % width == 0).tolist()
        pairs = list(zip(votes.tolist(), verified.tolist(), strict=True))
        places = np.zeros(len(starts), np.int32)
        for at, (start, end) in enumerate(pairwise(ends)):
            first = start + (start < end and abstains[start])
            ballot = (tuple(sorted(pairs[first:end])), pairs[start][0] if first > start else 0)
            places[at] = self._ballots.setdefault(ballot, len(self._ballots))
        return places


def _verdicts(rows: pa.Table, right: NDArray[np.bool_]) -> dict[str, int]:
    """How often each verdict stands in the rows; of files that know only `is_verified`: pass and fail."""
    import pyarrow.compute as pc

    if "verdict" in rows.column_names:
        return {item["values"]: item["counts"] for item in pc.value_counts(rows["verdict"]).to_pylist()}
    passed = int(right.sum())
    return {name: count for name, count in (("pass", passed), ("fail", len(right) - passed)) if count}


class _Tally:
    """Counts of a whole file while its rows come by; the last query of a batch waits for the rest of its rows."""

    def __init__(self) -> None:
        self.ballots: dict[Votes, int] = {}
        self._splits: dict[str, _SplitTally] = {}
        self._waiting: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> None:
        import pyarrow.compute as pc

        if not len(batch):
            return
        last = pc.not_equal(batch["query_id"], batch["query_id"][len(batch) - 1]).to_numpy(zero_copy_only=False)
        cut = int(np.flatnonzero(last)[-1]) + 1 if last.any() else 0
        if cut or (self._waiting and self._waiting[-1]["query_id"][-1] != batch["query_id"][0]):
            self._waiting.append(batch[:cut])
            self.flush()
        self._waiting.append(batch[cut:])

    def flush(self) -> None:
        """Count what waits."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._waiting:
            return
        rows = pa.Table.from_batches(self._waiting)
        self._waiting = []
        split = rows["split"].fill_null("(none)")
        for name in pc.unique(split).to_pylist():
            part = rows.filter(pc.equal(split, name))
            self._splits.setdefault(name, _SplitTally(self.ballots)).add(part)

    def counts(self) -> dict[str, Counts]:
        return {name: tally.counts() for name, tally in self._splits.items()}
