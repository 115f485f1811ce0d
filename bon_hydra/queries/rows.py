"""A split's rows, in the data set's own order or in a seeded one; memory holds one group of them.

JSON is read line by line and parsed here, since the JSON reader of `datasets` alters numbers; Parquet in a seeded order
is read by row groups; all the rest goes through `datasets`.
"""

from __future__ import annotations

import copy
import re
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bon_hydra.queries.files import Source
from bon_hydra.queries.json_lines import JsonFile, Read
from bon_hydra.queries.shuffle import Group, shuffled

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder, Features

FOOTERS_AT_ONCE = 8
GROUP_ROWS = 1000
"""Rows of a group where the files have no groups of their own."""


def rows(source: Source, split: str, *, streaming: bool, shuffle_seed: int | None) -> Iterator[Read]:
    """Every row of the split once.

    Reading more of a set than the rows taken need happens in two cases of a seeded order only: compressed JSON is
    unpacked whole first, and what is neither JSON nor Parquet is written whole to a temporary folder.
    """
    if source.kind == "json" and source.files[split]:
        return _json(source, split, streaming, shuffle_seed)
    if shuffle_seed is None:
        return _in_order(_only(source, split, streaming), split)
    if source.kind == "parquet" and source.files[split]:
        return _row_groups(source, split, streaming, shuffle_seed)
    return _prepared(_only(source, split, streaming), split, shuffle_seed)


def columns(source: Source, split: str, wanted: Sequence[str]) -> tuple[str, ...] | None:
    """The columns of a split's first row, None where it has no row.

    JSON rows need not all have the same: of them the first hundred are looked at until `wanted` are found. Where not
    one of these can be read, the first's problem is raised.

    Raises:
        ValueError: none of the rows looked at can be read.
    """
    if source.kind == "parquet" and source.files[split]:
        return _parquet_columns(source.files[split])
    if source.kind == "csv" and source.files[split]:
        return _csv_columns(_only(source, split, streaming=True), split)
    found: dict[str, None] = {}
    problem: str | None = None
    for count, read in enumerate(rows(source, split, streaming=True, shuffle_seed=None), start=1):
        found.update(dict.fromkeys(read.row or ()))
        problem = problem or (read.problem and f"{read.where}: {read.problem}")
        if source.kind != "json" or count == 100 or set(wanted) <= set(found):
            break
    if not found and problem:
        raise ValueError(problem)
    return tuple(found) if found else None


def short(name: str) -> str:
    """A file's name for a reader: below the data set on the Hub, of another one the last two parts."""
    hub = re.match(r"hf://datasets/[^@]+@[^/]+/(.*)", name)
    return hub[1] if hub else "/".join(name.split("::")[-1].split("/")[-2:])


def _json(source: Source, split: str, streaming: bool, shuffle_seed: int | None) -> Iterator[Read]:
    field = getattr(source.builder.config, "field", None)
    names = source.files[split]
    if shuffle_seed is None:
        for name in names:
            for path in _unpacked(_fetched(name, streaming), to_disk=not streaming):
                yield from JsonFile(path, short(name), field).rows()
        return
    files = [JsonFile(p, short(n), field) for n in names for p in _unpacked(_fetched(n, streaming), to_disk=True)]
    documents = [file.is_document() for file in files]

    def read(file: int, group: int) -> Group[Read]:
        return list(files[file].document()) if documents[file] else files[file].block(group)

    counts = [1 if document else file.block_count() for file, document in zip(files, documents, strict=True)]
    yield from _over_files(counts, read, shuffle_seed)


def _row_groups(source: Source, split: str, streaming: bool, shuffle_seed: int) -> Iterator[Read]:
    """Footers of all the split's files first, then a row group whenever one is needed."""
    names = source.files[split]
    paths = [_fetched(name, streaming) for name in names]
    features = source.builder.info.features
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as threads:
        counts = list(threads.map(_row_group_count, paths))

    def read(file: int, group: int) -> Group[Read]:
        first, dataset = _row_group(paths[file], group, features)
        return Rows(dataset, short(names[file]), first)

    yield from _over_files(counts, read, shuffle_seed)


def _over_files(counts: Sequence[int], read: Callable[[int, int], Group[Read]], seed: int) -> Iterator[Read]:
    """A seeded order over the groups of several files; `read` takes a file's number and a group's number in it."""
    ends = list(accumulate(counts))

    def find(index: int) -> Group[Read]:
        file = bisect_right(ends, index)
        return read(file, index - (ends[file] - counts[file]))

    return shuffled(ends[-1] if ends else 0, find, seed)


class Rows:
    """Rows of a table in memory or on disk, decoded when they are asked for; `first` is the first one's number."""

    def __init__(self, dataset: Dataset, name: str, first: int) -> None:
        self._dataset = dataset
        self._name = name
        self._first = first

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int, /) -> Read:
        return Read(f"{self._name} row {self._first + index}", self._dataset[index])


def _in_order(builder: DatasetBuilder, split: str) -> Iterator[Read]:
    for number, row in enumerate(builder.as_streaming_dataset(split=split), start=1):
        yield Read(f"{split} row {number}", row)


def _prepared(builder: DatasetBuilder, split: str, shuffle_seed: int) -> Iterator[Read]:
    with tempfile.TemporaryDirectory() as folder:
        builder.download_and_prepare(folder)
        dataset = builder.as_dataset(split=split)

        def read(group: int) -> Group[Read]:
            start = group * GROUP_ROWS
            part = dataset.select(range(start, min(start + GROUP_ROWS, len(dataset))))
            return Rows(part, split, start + 1)

        yield from shuffled(-(-len(dataset) // GROUP_ROWS), read, shuffle_seed)


def _only(source: Source, split: str, streaming: bool) -> DatasetBuilder:
    """The builder for one split; the text of CSV stays text, so that 007 and 0.10 are what they were."""
    from datasets import Features, Value

    if not source.files[split]:
        return source.builder
    builder = _twin(source.builder, split, [_fetched(name, streaming) for name in source.files[split]])
    if source.kind == "csv" and builder.config.features is None:
        builder.config.keep_default_na, builder.config.na_values = False, [""]
        names = _csv_columns(builder, split) or ()
        builder.config.features = builder.info.features = Features({name: Value("string") for name in names}) or None
    return builder


def _twin(builder: DatasetBuilder, split: str, files: Sequence[str]) -> DatasetBuilder:
    """A builder for these files; `copy.copy` would share its attributes with the first."""
    from datasets.data_files import DataFilesDict, DataFilesList

    twin = object.__new__(type(builder))
    twin.__dict__ = dict(builder.__dict__)
    twin.config = copy.copy(builder.config)
    twin.config.data_files = DataFilesDict({split: DataFilesList(list(files), [()] * len(files))})
    twin.info = builder.info.copy()
    twin.info.splits = None
    return twin


def _csv_columns(builder: DatasetBuilder, split: str) -> tuple[str, ...] | None:
    """The columns of a split's first file, None where it has no row; read to its end, since only then it is closed."""
    first = _twin(builder, split, builder.config.data_files[split][:1])
    first.config.nrows = 1
    found = list(first.as_streaming_dataset(split=split))
    return tuple(found[0]) if found else None


def _fetched(name: str, streaming: bool) -> str:
    """The file as it is, or without streaming its copy in the cache of `datasets`."""
    if streaming or "://" not in name:
        return name
    from datasets import DownloadManager

    return str(DownloadManager().download(name))


def _unpacked(path: str, *, to_disk: bool) -> list[str]:
    """The plain files in a file that may be compressed or an archive; to disk, or as URLs that unpack while reading."""
    from datasets import DownloadManager
    from datasets.download.streaming_download_manager import StreamingDownloadManager

    streaming = StreamingDownloadManager()
    opened = str(streaming.extract(path))
    if opened == path:
        return [path]
    if to_disk:
        return [str(file) for file in DownloadManager().iter_files(str(DownloadManager().download_and_extract(path)))]
    return [str(file) for file in streaming.iter_files(opened)]


def _parquet_columns(files: Sequence[str]) -> tuple[str, ...] | None:
    import pyarrow.parquet as pq

    for name in files:
        with _open(name) as file:
            try:
                parquet = pq.ParquetFile(file)
            except ValueError as error:  # ArrowInvalid is one
                raise ValueError(f"{short(name)} is no Parquet file: {error}") from error
            if parquet.metadata.num_rows:
                return tuple(parquet.schema_arrow.names)
    return None


def _row_group_count(path: str) -> int:
    import pyarrow.parquet as pq

    with _open(path) as file:
        return int(pq.ParquetFile(file).num_row_groups)


def _row_group(path: str, group: int, features: Features | None) -> tuple[int, Dataset]:
    """A row group, and the number in its file of its first row, from 1."""
    import pyarrow.parquet as pq
    from datasets import Dataset
    from datasets.table import InMemoryTable, table_cast

    with _open(path) as file:
        parquet = pq.ParquetFile(file, pre_buffer=True)
        table = parquet.read_row_group(group)
        first = 1 + sum(parquet.metadata.row_group(g).num_rows for g in range(group))
    if features is not None and set(features) == set(table.column_names):
        table = table_cast(table.select(list(features)), features.arrow_schema)
    return first, Dataset(InMemoryTable(table))


def _open(path: str) -> Any:
    from datasets.download.streaming_download_manager import xopen

    return xopen(path, "rb")
