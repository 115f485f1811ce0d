"""Writing a run's parquet file: one row per candidate, in order, with bounded memory, whole or not there at all.

This module knows parquet and what flows through a run;
it does not know where candidates come from, what the metadata means, or who reads the file (that is `runs`).
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from bon_hydra.records import SCHEMA_VERSION, SCORED, Candidate, Judged, Response, Verdict

SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("split", pa.string()),
        ("candidate_idx", pa.int32()),
        pa.field("is_verified", pa.bool_(), nullable=False),
        pa.field("is_scored", pa.bool_(), nullable=False),
        ("verdict", pa.string()),
        ("verdict_reason", pa.string()),
        ("verifier", pa.string()),
        ("score", pa.float64()),
        ("scorer", pa.string()),
        ("answer", pa.string()),
        ("answer_class", pa.int32()),
        ("question", pa.string()),
        ("prompt", pa.string()),
        ("tools", pa.string()),
        ("reference", pa.string()),
        ("source_id", pa.string()),
        ("source_meta", pa.string()),
        ("response", pa.string()),
        ("reasoning", pa.string()),
        ("tool_calls", pa.string()),
        ("finish_reason", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("reasoning_tokens", pa.int64()),
        ("cost_usd", pa.float64()),
        ("latency_s", pa.float64()),
        ("reused", pa.bool_()),
        ("candidate_id", pa.string()),
        ("seed", pa.int64()),
        ("attempts", pa.int32()),
        ("error", pa.string()),
        ("model", pa.string()),
        ("response_model", pa.string()),
        ("temperature", pa.float64()),
        ("request_id", pa.string()),
        ("run_id", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The file's columns, in their order; names and meanings are a promise to notebooks and scripts."""

LONG = tuple(
    SCHEMA.get_field_index(name)
    for name in ("question", "prompt", "tools", "reference", "source_meta", "response", "reasoning", "tool_calls")
)
"""Where a row holds most of its text."""
BATCH_ROWS = 512
BATCH_CHARACTERS = 1 << 20
"""Rows are turned into Arrow arrays when there are so many, or when they hold so much text."""
GROUP_BYTES = 8 << 20
"""A row group is written when its arrays hold so much; a query is never split between two."""
WAITING_BYTES = 4 << 20
"""So much of the queries that came before their turn stays in memory; the rest waits on disk."""

pa.array(["The first conversion of a list imports pandas where there is one: here, not in the middle of a run."])


@dataclass(frozen=True)
class RunFields:
    """What is the same in every row of a run."""

    run_id: str
    model: str
    temperature: float | None
    """None where no temperature is sent."""


@dataclass
class Tally:
    """What has been put so far; reused candidates cost nothing here."""

    queries: int = 0
    candidates: int = 0
    scored: int = 0
    verified: int = 0
    reused: int = 0
    reused_from: datetime | None = None
    reused_to: datetime | None = None
    """When the first and the last of the reused ones were drawn."""
    bought: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    known_usd: float = 0.0
    unknown_costs: int = 0
    """Bought candidates whose price or usage nobody knows."""

    @property
    def cost_usd(self) -> float | None:
        """What the bought ones have cost; None where it is not known of all."""
        return None if self.unknown_costs else self.known_usd

    def add(self, candidate: Candidate, verdict: str) -> None:
        """Count one candidate with its verdict."""
        self.candidates += 1
        self.scored += verdict in SCORED
        self.verified += verdict == "pass"
        response = candidate.response
        if response is None:
            return
        if candidate.reused:
            self.reused += 1
            if at := response.created_at:
                self.reused_from = min(self.reused_from or at, at)
                self.reused_to = max(self.reused_to or at, at)
            return
        self.bought += 1
        self.prompt_tokens += response.prompt_tokens or 0
        self.completion_tokens += response.completion_tokens or 0
        self.cached_tokens += response.cached_tokens or 0
        self.reasoning_tokens += response.reasoning_tokens or 0
        self.known_usd += candidate.cost_usd or 0.0
        self.unknown_costs += candidate.cost_usd is None


def settled(candidate: Candidate, verdict: Verdict) -> Verdict:
    """The verdict that stands in the file: without a response it is `api_error`, whoever judged."""
    if candidate.response is not None or verdict.verdict == "api_error":
        return verdict
    return Verdict("api_error", "no response", verdict.verifier)


def row(judged: Judged, at: int, run: RunFields) -> tuple[Any, ...]:
    """The candidate at position `at` as values in SCHEMA's order."""
    query, candidate = judged.query, judged.candidates[at]
    verdict = settled(candidate, judged.verdicts[at])
    response = candidate.response or Response(text=None, attempts=candidate.attempts)
    errors = {"api_error": candidate.error or verdict.error, "verifier_error": verdict.error}
    return (
        query.query_id,
        query.split,
        candidate.index,
        verdict.verdict == "pass",
        verdict.verdict in SCORED,
        verdict.verdict,
        verdict.reason,
        verdict.verifier,
        verdict.score,
        verdict.scorer,
        verdict.answer,
        judged.classes[at],
        query.question,
        judged.prompt,
        None if query.tools is None else json.dumps(query.tools, ensure_ascii=False),
        query.reference,
        query.source_id,
        query.source_meta,
        response.text,
        response.reasoning,
        response.tool_calls,
        response.finish_reason,
        response.prompt_tokens,
        response.completion_tokens,
        response.cached_tokens,
        response.reasoning_tokens,
        candidate.cost_usd,
        response.latency_s,
        candidate.reused,
        candidate.candidate_id,
        response.seed,
        response.attempts,
        errors.get(verdict.verdict),
        run.model,
        response.model,
        run.temperature,
        response.request_id,
        run.run_id,
        response.created_at,
    )


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """One column as Arrow; halves of surrogate pairs, which models do send and UTF-8 cannot hold, become U+FFFD."""
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        whole = [v and v.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for v in values]
        return pa.array(whole, kind)


Rows = list[tuple[Any, ...]]


class Waiting:
    """Rows of queries that came before their turn: the first few MB in memory, the rest in an unlinked file.

    In memory stays one offset of 8 bytes a query, however many wait.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory: dict[int, bytes] = {}
        self._memory_bytes = 0
        self._offsets = array("q")
        self._spilled = 0
        self._file: IO[bytes] | None = None

    def add(self, order: int, rows: Rows) -> None:
        """Keep the rows of query number `order` until `take` asks for them."""
        data = pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
        if self._memory_bytes + len(data) <= WAITING_BYTES:
            self._memory[order] = data
            self._memory_bytes += len(data)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (closed in `close`)
        self._offsets.extend([-1] * (order + 1 - len(self._offsets)))
        self._offsets[order] = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        self._spilled += 1

    def take(self, order: int) -> Rows | None:
        """The rows of query number `order`, given back once; None where they have not come."""
        if data := self._memory.pop(order, None):
            self._memory_bytes -= len(data)
            rows: Rows = pickle.loads(data)
            return rows
        if self._file is None or order >= len(self._offsets) or self._offsets[order] < 0:
            return None
        self._file.seek(self._offsets[order])
        rows = pickle.load(self._file)
        self._offsets[order] = -1
        self._spilled -= 1
        if self._spilled == 0:
            self._file.truncate(0)
        return rows

    def __contains__(self, order: int) -> bool:
        return order in self._memory or (order < len(self._offsets) and self._offsets[order] >= 0)

    def orders(self) -> Iterator[int]:
        """The numbers of all queries that wait, ascending."""
        last = max(self._memory, default=-1)
        return (order for order in range(max(last + 1, len(self._offsets))) if order in self)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


class ResultsWriter:
    """Writes `path` with one row per candidate, ordered by query, as queries come in any order.

    Rows go to `<name>.part` beside `path`; only `close` makes it `path`. Left by an exception, or
    never closed, the `.part` is all there is. Not for two threads at once.
    """

    def __init__(self, path: Path, run: RunFields) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.part.unlink(missing_ok=True)  # a link of that name would lead elsewhere
        self.tally = Tally()
        self._run = run
        self._waiting = Waiting(path.parent)
        self._next = 0
        self._rows: Rows = []
        self._characters = 0
        self._batches: list[pa.RecordBatch] = []
        self._written = 0
        # Without a stored schema, metadata that is added at the end shows in every way of reading it.
        self._writer = pq.ParquetWriter(self.part, SCHEMA, compression="zstd", store_schema=False)

    def put(self, order: int, judged: Judged) -> None:
        """Take all candidates of query number `order` (0, 1, 2, … in the file's order, each once)."""
        if order < self._next or order in self._waiting:
            raise ValueError(f"query number {order} was put twice")
        rows = [row(judged, at, self._run) for at in range(len(judged.candidates))]
        self.tally.queries += 1
        for candidate, verdict in zip(judged.candidates, judged.verdicts, strict=True):
            self.tally.add(candidate, settled(candidate, verdict).verdict)
        if order > self._next:
            self._waiting.add(order, rows)
            return
        ready: Rows | None = rows
        while ready is not None:
            self._append(ready)
            self._next += 1
            ready = self._waiting.take(self._next)

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what waits (numbers may be missing), add `metadata`, and put the file in its place, durably.

        `total_records` and `schema_version` are added here.
        """
        for order in self._waiting.orders():
            self._append(self._waiting.take(order) or [])
        self._convert()
        self._write_group()
        self._writer.add_key_value_metadata(_with_own(metadata, self._written))
        self._writer.close()
        self._waiting.close()
        _put_in_place(self.part, self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go of what is open; after `close` there is nothing left to do."""
        with suppress(OSError):  # a full disk has been said once
            self._writer.close()
        self._waiting.close()

    def _append(self, rows: Rows) -> None:
        self._rows += rows
        self._characters += sum(len(values[at] or "") for values in rows for at in LONG)
        if len(self._rows) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._convert()
            if sum(batch.nbytes for batch in self._batches) >= GROUP_BYTES:
                self._write_group()

    def _convert(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [column(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
            self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
            self._rows, self._characters = [], 0

    def _write_group(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches)
            self._writer.write_table(table, row_group_size=len(table))
            self._written += len(table)
            self._batches = []


def rewrite(
    path: Path, groups: Iterable[Sequence[Mapping[str, Any]]], metadata: Callable[[], Mapping[str, str]]
) -> None:
    """Writes `path` anew, a row group for each of `groups`: rows as dictionaries by column.

    `metadata` is asked for when all rows are written. The file is on disk when this returns.
    """
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", store_schema=False) as writer:
        for rows in groups:
            columns = ([row[field.name] for row in rows] for field in SCHEMA)
            arrays = [column(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), row_group_size=len(rows))
        writer.add_key_value_metadata(dict(metadata()))
    _sync(path)


def write_tables(
    path: Path, queries: Iterable[tuple[pa.Table, int]], metadata: Callable[[], Mapping[str, str]]
) -> None:
    """Writes `path` from tables of a query each, with their bytes, in their order; whole or not there at all.

    `metadata` is asked for when all are written; `total_records` and `schema_version` are added here.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # a link of that name would lead elsewhere
    written = 0
    with pq.ParquetWriter(part, SCHEMA, compression="zstd", store_schema=False) as writer:
        for group in _groups(queries):
            writer.write_table(group, row_group_size=len(group))
            written += len(group)
        writer.add_key_value_metadata(_with_own(metadata(), written))
    _put_in_place(part, path)


def _groups(tables: Iterable[tuple[pa.Table, int]]) -> Iterator[pa.Table]:
    """The tables joined to such as a row group holds."""
    waiting: list[pa.Table] = []
    size = 0
    for table, nbytes in tables:
        waiting.append(table)
        size += nbytes
        if size >= GROUP_BYTES:
            yield pa.concat_tables(waiting).combine_chunks().cast(SCHEMA)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks().cast(SCHEMA)


def _with_own(metadata: Mapping[str, str], rows: int) -> dict[str, str]:
    return {**metadata, "total_records": str(rows), "schema_version": str(SCHEMA_VERSION)}


def _put_in_place(part: Path, path: Path) -> None:
    """Gives a finished file its name, durably."""
    _sync(part)
    part.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
