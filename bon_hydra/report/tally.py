"""Reading a run's file once, some ten thousand rows at a time, into its counts.

Only the columns that figures are made of are read. The rows of a query stand together in our files; where they do
not, as in files of the seed's system, the file is read again, sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bon_hydra.records import SCORED
from bon_hydra.report.counts import PATTERNS, Counts, added, grown
from bon_hydra.report.elections import Elections
from bon_hydra.report.groups import NONE, Labels, in_order
from bon_hydra.runs import column_names, count_rows, read_batches, read_columns, read_metadata
from bon_hydra.statistics import Floats, Ints, Pattern

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    *("query_id", "split", "candidate_idx", "is_verified", "is_scored", "verdict", "finish_reason"),
    *("prompt_tokens", "completion_tokens", "cost_usd", "latency_s", "answer_class", "score"),
)


@dataclass(frozen=True)
class Run:
    """One run as its file tells it."""

    path: Path
    metadata: dict[str, str]
    splits: dict[str, Counts]
    groups: dict[str, Counts]
    """By the values of `by`; empty where nobody asked."""
    by: str | None
    width: int
    """N: candidate indexes in the file."""

    @property
    def candidates(self) -> int:
        """Rows of the file."""
        return sum(counts.candidates for counts in self.splits.values())


def read_run(path: Path, by: str | None = None) -> Run:
    """Count a run's file, also in groups by a column or a key of `source_meta`.

    Memory: 8 bytes a query beside one batch of rows. Raises ConfigError as `runs` does, and for a wrong `by`.
    """
    metadata = read_metadata(path)
    labels = Labels(by, column_names(path)) if by else None
    columns = [*COLUMNS, *(labels.columns if labels else ())]
    tally = _Tally(count_rows(path), labels)
    for batch in read_batches(path, columns):
        tally.add(batch)
    tally.flush()
    if tally.torn():
        tally = _Tally(count_rows(path), labels)
        for batch in _sorted_batches(path, columns):
            tally.add(batch)
        tally.flush()
    if labels:
        labels.check()
    width = max((len(counts.by_index) for counts in tally.splits.values()), default=0)
    groups = {name: tally.groups[name] for name in in_order(list(tally.groups))}
    return Run(path, metadata, tally.splits, groups, by, width)


def _sorted_batches(path: Path, columns: Iterable[str]) -> Iterator[pa.RecordBatch]:
    table = read_columns(path, list(columns))
    keys = [(name, "ascending") for name in ("split", "query_id", "candidate_idx")]
    yield from table.sort_by(keys).to_batches(max_chunksize=65_536)


@dataclass(frozen=True)
class _Rows:
    """Columns of some whole queries; None where the file has no such column."""

    query: Ints
    """Ascending from 0 without gaps, rows of one query together."""
    index: Ints
    scored: NDArray[np.bool_]
    right: NDArray[np.bool_]
    verdict: Ints
    """The place in `names`."""
    cut_off: NDArray[np.bool_]
    prompt_tokens: Floats | None
    completion_tokens: Floats | None
    cost_usd: Floats | None
    latency_s: Floats | None
    classes: Ints | None
    score: Floats | None
    names: tuple[str, ...]
    """Verdicts that there are."""

    def where(self, mask: NDArray[np.bool_]) -> _Rows:
        """Some of the rows, the queries numbered anew."""
        if mask.all():
            return self
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        kept: dict[str, Any] = {
            name: column[mask] if isinstance(column, np.ndarray) else column for name, column in values.items()
        }
        kept["query"] = np.cumsum(np.diff(kept["query"], prepend=kept["query"][:1]) > 0)
        return _Rows(**kept)


class _Tally:
    """Counts of a whole file while its rows come by; the last query of a batch waits for the rest of its rows."""

    def __init__(self, rows: int, labels: Labels | None) -> None:
        self.splits: dict[str, Counts] = {}
        self.groups: dict[str, Counts] = {}
        self._labels = labels
        self._waiting: list[pa.RecordBatch] = []
        self._keys: list[NDArray[np.int64]] = []
        self._elections, self._group_elections = Elections(rows), Elections(rows)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the batch's rows, but for its last query."""
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

        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting).combine_chunks()
        self._waiting = []
        split = table["split"].fill_null(NONE).combine_chunks().dictionary_encode()
        ids = table["query_id"].combine_chunks()
        starts = _starts(ids, split.indices.to_numpy())
        names = split.dictionary.to_pylist()
        of_start = split.indices.to_numpy()[starts].tolist()
        keys = (hash((names[at], name)) for at, name in zip(of_start, ids.take(starts).to_pylist(), strict=True))
        self._keys.append(np.fromiter(keys, np.int64, len(starts)))
        rows = _rows(table, starts)
        for section, encoded, elections in (
            (self.splits, split, self._elections),
            (self.groups, self._labels.of(table) if self._labels else None, self._group_elections),
        ):
            if encoded is not None:
                codes = encoded.indices.to_numpy()
                for code, name in enumerate(encoded.dictionary.to_pylist()):
                    if (mask := codes == code).any():
                        _count(section.setdefault(name, Counts()), rows.where(mask), elections)

    def torn(self) -> bool:
        """Whether rows of one query stand apart, so that it was counted as several."""
        keys = np.concatenate([np.zeros(0, np.int64), *self._keys])
        keys.sort()
        return bool((keys[1:] == keys[:-1]).any())


def _starts(ids: pa.Array, split: Ints) -> Ints:
    """Where a new query begins."""
    import pyarrow.compute as pc

    changes = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False) | (split[1:] != split[:-1])
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _rows(table: pa.Table, starts: Ints) -> _Rows:
    import pyarrow.compute as pc

    def column(name: str, read: Callable[[Any], Any]) -> Any:
        return read(table[name]) if name in table.column_names else None

    def numbers(values: Any) -> Any:
        return values.cast("float64").to_numpy()

    verified = table["is_verified"].fill_null(False).to_numpy()
    scored = column("is_scored", lambda values: values.fill_null(False).to_numpy())
    scored = np.ones(len(table), bool) if scored is None else scored
    verdict = column("verdict", lambda values: values.fill_null(NONE).combine_chunks().dictionary_encode())
    cut_off = column("finish_reason", lambda values: pc.equal(values, "length").fill_null(False).to_numpy())
    return _Rows(
        query=np.repeat(np.arange(len(starts)), np.diff(starts, append=len(table))),
        index=table["candidate_idx"].fill_null(0).to_numpy(),
        scored=scored,
        right=verified & scored,
        verdict=verified.astype(np.int64) if verdict is None else verdict.indices.to_numpy(),
        cut_off=np.zeros(len(table), bool) if cut_off is None else cut_off,
        prompt_tokens=column("prompt_tokens", numbers),
        completion_tokens=column("completion_tokens", numbers),
        cost_usd=column("cost_usd", numbers),
        latency_s=column("latency_s", numbers),
        classes=column("answer_class", lambda values: values.fill_null(-1).to_numpy().astype(np.int64)),
        score=column("score", numbers),
        # Files that know only `is_verified` have two verdicts.
        names=("fail", "pass") if verdict is None else tuple(verdict.dictionary.to_pylist()),
    )


def _count(counts: Counts, rows: _Rows, elections: Elections) -> None:
    """Take the rows in."""
    counts.candidates += len(rows.query)
    queries = int(rows.query[-1]) + 1
    scored = np.bincount(rows.query, rows.scored, queries).astype(np.int64)
    verified = np.bincount(rows.query, rows.right, queries).astype(np.int64)
    judged = _count_unscored(counts, rows, scored)
    size = int(scored.max()) + 1
    kinds = np.bincount((scored * size + verified)[judged], minlength=size * size).reshape(size, size)
    counts.kinds = grown(counts.kinds, size, size)
    counts.kinds[:size, :size] += kinds

    width = int(rows.index.max()) + 1
    counts.by_index = grown(counts.by_index, width, 2)
    for column, mask in enumerate((rows.scored, rows.right)):
        counts.by_index[:width, column] += np.bincount(rows.index[mask], minlength=width)
    _count_patterns(counts, rows, scored, verified, width)

    counts.verdicts.update(
        dict(zip(rows.names, np.bincount(rows.verdict, minlength=len(rows.names)).tolist(), strict=True))
    )
    counts.truncated += int(rows.cut_off.sum())
    counts.cut_off += [int((rows.cut_off & rows.scored).sum()), int((rows.cut_off & rows.right).sum())]
    counts.prompt_tokens = added(counts.prompt_tokens, _sum(rows.prompt_tokens, int))
    counts.cost_usd = added(counts.cost_usd, _sum(rows.cost_usd, float))
    if rows.completion_tokens is not None:
        counts.completion_tokens.add(rows.completion_tokens)
    if rows.latency_s is not None:
        counts.latency_s.add(rows.latency_s)
    _hold_elections(counts, rows.where(rows.scored), elections)


def _count_unscored(counts: Counts, rows: _Rows, scored: Ints) -> NDArray[np.bool_]:
    """Count the queries without a scored candidate; returns which queries (queries,) could be judged at all."""
    judged = np.ones(len(scored), bool)
    if scored.all():
        return judged
    of_unscored = np.flatnonzero(scored[rows.query] == 0)
    verdicts: dict[int, set[str]] = {}
    for query, verdict in zip(rows.query[of_unscored].tolist(), rows.verdict[of_unscored].tolist(), strict=True):
        verdicts.setdefault(query, set()).add(rows.names[verdict])
    for query, found in verdicts.items():
        if "unverifiable" in found:
            judged[query] = False
            counts.unverifiable += 1
        else:
            counts.unscored[next((name for name in sorted(found, reverse=True) if name not in SCORED), NONE)] += 1
    return judged


def _count_patterns(counts: Counts, rows: _Rows, scored: Ints, verified: Ints, width: int) -> None:
    """Count queries by the set of their scored indexes."""
    told = np.flatnonzero((verified > 0) & (verified < scored))
    if not len(told):
        return
    has, right = np.zeros((2, len(scored), width), bool)
    has[rows.query[rows.scored], rows.index[rows.scored]] = True
    right[rows.query[rows.right], rows.index[rows.right]] = True
    packed = np.packbits(has[told], axis=1)
    whole = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    sets, which, sizes = np.unique(whole, return_inverse=True, return_counts=True)
    for number in np.argsort(-sizes, kind="stable"):
        key = sets[number].tobytes().rstrip(b"\0")
        if key not in counts.patterns and len(counts.patterns) >= PATTERNS:
            continue
        mine = told[which == number]
        indexes = np.flatnonzero(has[mine[0]])
        times = np.bincount(verified[mine], minlength=len(indexes) + 1)
        pattern = Pattern(tuple(indexes.tolist()), times, right[mine][:, indexes].sum(axis=0))
        known = counts.patterns.get(key)
        counts.patterns[key] = pattern if known is None else known + pattern


def _hold_elections(counts: Counts, rows: _Rows, elections: Elections) -> None:
    """Add what the scored candidates' answers and scores elect."""
    if not len(rows.query):
        return
    right = rows.right.astype(np.float64)
    has_scores = rows.score is not None and not np.isnan(rows.score).all()
    if rows.classes is not None:
        counts.has_classes |= bool((rows.classes >= 0).any())
        elections.majority(counts.majority, rows.query, rows.classes, right)
        if rows.score is not None and has_scores:
            elections.weighted_majority(counts.weighted_majority, rows.query, rows.classes, rows.score, right)
    if rows.score is not None and has_scores:
        elections.best(counts.best, rows.query, rows.score, right)


def _sum(values: Floats | None, kind: type) -> Any:
    """The sum of what is known; None where nothing is."""
    known = None if values is None else values[~np.isnan(values)]
    return None if known is None or not len(known) else kind(known.sum())
