"""A data set as queries: everything a user can have got wrong is told before the first, the rest is streamed.

`open_queries` checks; the `QuerySource` it gives is iterated split after split, deduplicated, and counts what it read.
Knows data sets and formats; knows no prompt, no model and no run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from bon_hydra.checks import FORMATS, nearest
from bon_hydra.queries import aime, files, gsm8k, humaneval, math500, mbpp, nemotron, rows, tool_calls
from bon_hydra.queries import columns as named_columns
from bon_hydra.queries.dedupe import Seen
from bon_hydra.queries.json_lines import Read
from bon_hydra.queries.json_numbers import as_text, canonical, dumps, plain
from bon_hydra.queries.parts import Parts, Row, SkippedRow, question
from bon_hydra.queries.sources import SourceError, Sources, open_sources
from bon_hydra.records import Query
from bon_hydra.schema import ConfigError, DatasetConfig
from bon_hydra.shards import shard_of

REASONS_KEPT = 5
"""So many skipped rows of a split are named in its counts and warned about; the rest is logged quietly."""

Needed = dict[str | tuple[str, ...], str]
"""Columns that must be there, or groups of columns of which one must, each with the key that wants them."""

log = logging.getLogger(__name__)


class DatasetError(Exception):
    """A data set that could be opened cannot be read on: a lost connection, a broken file. Says where and why."""


@dataclass
class Counts:
    """What was read of one split."""

    sample: str
    """`whole` where the split was read to its end, else `head` or `shuffled`."""
    rows_read: int = 0
    distinct: int = 0
    """Queries, those of other shards too."""
    duplicates: int = 0
    """Rows whose question was there before (with `dedupe`; without, they are queries too)."""
    disagreeing: int = 0
    """Duplicates whose reference is not the first one's."""
    skipped: int = 0
    """Rows that cannot be read or asked."""
    reasons: list[str] = field(default_factory=list)
    """The first skipped rows, each as `where: why`."""


@dataclass(frozen=True)
class QuerySource:
    """The queries of a data set's splits. Each iteration reads anew and counts anew."""

    splits: tuple[str, ...]
    revision: str
    """The Hub's commit, or of local files a fingerprint `sha256:…`."""
    path: str
    """As `dataset.path`, absolute where it is a local folder."""
    data_files: Any
    """As `dataset.data_files`, absolute where they are local files by themselves."""
    max_queries: int | None
    dataset: DatasetConfig
    source: files.Source
    sources: Sources
    """What the code split is joined from."""
    counts: dict[str, Counts] = field(default_factory=dict)
    """By split, filled while iterating."""

    @property
    def part(self) -> str:
        """What of a split its first queries are: `head`, or `shuffled`."""
        return "head" if self.dataset.shuffle_seed is None else "shuffled"

    def __iter__(self) -> Iterator[Query]:
        """The queries, split after split in the order of `splits`, at most `max_queries` of each.

        Raises:
            DatasetError: the data set cannot be read on.
        """
        for split in self.splits:
            self.counts[split] = Counts(self.part)
        for split in self.splits:
            yield from _queries(self, split, self.counts[split])

    def firsts(self) -> Iterator[Query]:
        """The first query of each split that has one; what stands before it is counted until the next iteration.

        Raises:
            DatasetError: the data set cannot be read.
        """
        for split in self.splits:
            self.counts[split] = Counts("head")
            first = next(_queries(self, split, self.counts[split]), None)
            if first is not None:
                yield first


def open_queries(dataset: DatasetConfig, splits: Sequence[str] | None, max_queries: int | None) -> QuerySource:
    """Find and check a data set; nothing but file listings, Parquet footers and the first row of a split is read.

    `splits` wins over `dataset.splits`; with neither it is all splits there are. With `dataset.columns.split` named, a
    split is a value of that column, and rows are read until each wanted value was met.

    Raises:
        ConfigError: the data set, a file, a split, a column or the format is not there or not what it should be.
    """
    key = "splits" if splits is not None and splits != dataset.splits else "dataset.splits"
    wanted = dataset.splits if splits is None else splits
    if wanted is not None and not wanted:
        raise ConfigError(f"{key}: got an empty list, wanted at least one split, or null for all of them")
    sources = open_sources(dataset.sources, files.DEMO / "sources" if dataset.path == "demo" else None)
    _parts(dataset, sources)
    source = files.resolve(dataset, wanted)
    if not dataset.columns.split:
        chosen = _choose(key, wanted, source)
    elif wanted is None:
        raise ConfigError(f"{key}: needs the values of column {dataset.columns.split!r} that are to be read")
    else:
        chosen = tuple(dict.fromkeys(wanted))
    if isinstance(dataset.verifier, Mapping):
        for split in dataset.verifier:
            if split not in source.files and split not in chosen:
                known = [*source.files, *chosen]
                raise ConfigError(f"dataset.verifier: there is no split {split!r}{nearest(str(split), known)}")
    _check_columns(dataset, source, sources, tuple(source.files) if dataset.columns.split else chosen)
    if dataset.columns.split:
        _check_values(key, dataset, source, chosen)
    return QuerySource(chosen, source.revision, source.path, source.data_files, max_queries, dataset, source, sources)


def _choose(key: str, wanted: Sequence[str] | None, source: files.Source) -> tuple[str, ...]:
    known = tuple(source.files)
    for split in wanted or ():
        if split not in known:
            hint = nearest(split, known)
            if not hint and source.path in files.BUILDERS:
                hint = f". A file's split is named by dataset.data_files={{{split}: FILE}}"
            raise ConfigError(f"{key}: got {split!r}, and the data set has {', '.join(known) or 'none'}{hint}")
    return tuple(dict.fromkeys(wanted or known))


def _parts(dataset: DatasetConfig, sources: Sources) -> tuple[Needed, Callable[[Row, str], Parts]]:
    """The columns that the format needs, and what turns a row into Parts."""
    fixed: dict[str, ModuleType] = {
        "gsm8k": gsm8k, "math500": math500, "aime": aime, "humaneval": humaneval, "mbpp": mbpp, "tool_calls": tool_calls
    }  # fmt: skip
    if module := fixed.get(dataset.format):
        return dict.fromkeys(module.COLUMNS, "dataset.format"), lambda row, _: module.parts(row)
    if dataset.format == "nemotron":
        return dict.fromkeys(nemotron.COLUMNS, "dataset.format"), lambda row, split: nemotron.parts(row, split, sources)
    if dataset.format == "columns":
        names = named_columns.columns(dataset.columns)
        if "prompt" in names and "messages" in names:
            raise ConfigError("dataset.columns.messages: is given beside dataset.columns.prompt, wanted one of the two")
        if "prompt" not in names and "messages" not in names:
            raise ConfigError(
                "dataset.columns.prompt: needs the name of the column that holds the question (or, for conversations, "
                "dataset.columns.messages)"
            )
        needed: Needed = {column: f"dataset.columns.{key}" for key, column in names.items()}
        return needed, lambda row, _: named_columns.parts(row, dataset.columns)
    raise ConfigError(
        f"dataset.format: got {dataset.format!r}, wanted one of {', '.join(FORMATS)}{nearest(dataset.format, FORMATS)}"
    )


def _check_columns(dataset: DatasetConfig, source: files.Source, sources: Sources, splits: Sequence[str]) -> None:
    needed = _parts(dataset, sources)[0] | dict.fromkeys(dataset.keep, "dataset.keep")
    names = [name for column in needed for name in ([column] if isinstance(column, str) else column)]
    where = "dataset.data_files" if dataset.data_files else "dataset.path"
    for split in splits:
        try:
            known = rows.columns(source, split, names)
        except Exception as error:
            raise ConfigError(f"{where}: split {split!r} cannot be read: {_line(error)}") from error
        if known is None:
            raise ConfigError(f"{where}: split {split!r} holds no rows")
        for column, key in needed.items():
            any_of = (column,) if isinstance(column, str) else column
            if not set(any_of) & set(known):
                there = f"split {split!r} has the columns {', '.join(known)}"
                if key == "dataset.format":
                    wanted = " or ".join(map(repr, any_of))
                    raise ConfigError(
                        f"dataset.format: {dataset.format} needs a column {wanted}, and {there}. "
                        f"Other columns are read by dataset.format=columns dataset.columns.prompt=COLUMN"
                    )
                raise ConfigError(f"{key}: got {any_of[0]!r}, and {there}{nearest(any_of[0], known)}")


def _check_values(key: str, dataset: DatasetConfig, source: files.Source, wanted: Sequence[str]) -> None:
    """Whether the split column holds each wanted value; reads until it does, all rows where one is missing."""
    left, known = set(wanted), dict[str, None]()
    try:
        for split in source.files:
            for read in rows.rows(source, split, streaming=dataset.streaming, shuffle_seed=None):
                value = as_text((read.row or {}).get(dataset.columns.split or ""))
                known[value or "null"] = None
                left.discard(value or "")
                if not left:
                    return
    except Exception as error:
        raise ConfigError(f"dataset.path: {source.path} cannot be read: {_line(error)}") from error
    missing = next(split for split in wanted if split in left)
    raise ConfigError(
        f"{key}: got {missing!r}, and column {dataset.columns.split!r} has {', '.join(list(known)[:20])}"
        f"{nearest(missing, known)}"
    )


def _queries(opened: QuerySource, split: str, counts: Counts) -> Iterator[Query]:
    dataset, column = opened.dataset, opened.dataset.columns.split
    _, parts_of = _parts(dataset, opened.sources)
    seen, shard = Seen(), shard_of(dataset.shard)
    for read in _rows(opened, split):
        if column and read.row is not None and as_text(read.row.get(column)) != split:
            continue
        if counts.distinct == opened.max_queries:
            return
        counts.rows_read += 1
        try:
            if read.row is None:
                raise SkippedRow(read.problem)
            parts = parts_of(read.row, split)
        except SkippedRow as reason:
            _skip(counts, split, f"{read.where}: {reason}")
            continue
        except SourceError as error:
            raise DatasetError(str(error)) from error
        repeats = _repeats(seen, parts, dataset.dedupe, split, counts)
        if repeats and dataset.dedupe:
            continue
        counts.distinct += 1
        if shard.has(counts.distinct - 1):
            yield _query(dataset, split, read.row, parts, repeats)
        if column and counts.distinct == opened.max_queries:
            return  # whether more rows of this value follow may only be seen at the very end
    counts.sample = "whole"


def _rows(opened: QuerySource, split: str) -> Iterator[Read]:
    dataset = opened.dataset
    count = 0
    try:
        for part in opened.source.files if dataset.columns.split else (split,):
            for read in rows.rows(opened.source, part, streaming=dataset.streaming, shuffle_seed=dataset.shuffle_seed):
                count += 1
                yield read
    except Exception as error:
        where = f"{opened.path}, split {split!r}"
        raise DatasetError(f"{where}: cannot be read on after {count} rows: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _skip(counts: Counts, split: str, reason: str) -> None:
    counts.skipped += 1
    quiet = len(counts.reasons) == REASONS_KEPT
    log.log(logging.INFO if quiet else logging.WARNING, "Row skipped in split %s: %s", split, reason)
    if not quiet:
        counts.reasons.append(reason)


def _repeats(seen: Seen, parts: Parts, dedupe: bool, split: str, counts: Counts) -> int:
    """How often the row was there before: by its question with `dedupe`, else by all that its id is made of."""
    if not dedupe:
        key = int(_query_id(split, parts, 0), 16)
        before = seen.add(key, 1) or 0
        if before:
            seen.replace(key, before + 1)
        return before
    key = int.from_bytes(_digest([parts.messages, parts.tools])[:8])
    reference = int.from_bytes(_digest(parts.reference)[:4])
    first = seen.add(key, reference)
    if first is None:
        return 0
    counts.duplicates += 1
    counts.disagreeing += first != reference
    return 1


def _digest(value: Any) -> bytes:
    return hashlib.sha256(canonical(value).encode()).digest()


def _query_id(split: str, parts: Parts, repeats: int) -> str:
    """16 hex digits: the start of the sha256 of split, messages, tools, reference and, if not the first, occurrence."""
    identity = [split, parts.messages, parts.tools, parts.reference]
    return _digest([*identity, repeats] if repeats else identity).hex()[:16]


def _query(dataset: DatasetConfig, split: str, row: Mapping[str, Any], parts: Parts, repeats: int) -> Query:
    chosen = dataset.verifier.get(split) if isinstance(dataset.verifier, Mapping) else dataset.verifier
    messages = tuple(plain(message) for message in parts.messages)
    return Query(
        query_id=_query_id(split, parts, repeats),
        split=split,
        question=question(messages),
        messages=messages,
        tools=tuple(plain(tool) for tool in parts.tools) if parts.tools else None,
        reference=parts.reference,
        verifier=chosen or parts.verifier,
        source_id=parts.source_id,
        source_meta=dumps({column: row.get(column) for column in dataset.keep}) if dataset.keep else None,
        row=dict(row),
    )
