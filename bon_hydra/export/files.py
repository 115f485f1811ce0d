"""The data files of one side (`train` or `validation`) in the Hub's layout, written as rows come.

`data/train-00000-of-00001.parquet`, or `.jsonl`; another file is begun where one has grown large.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bon_hydra.export.exact import dumps
from bon_hydra.records import Message

Row = dict[str, Any]

GROUP_BYTES = 8 << 20
"""Rows wait for so much text before they are written as a row group."""
FILE_BYTES = 500 << 20
"""A file that has grown so large is followed by another one."""

PLAIN = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
JSON = pa.list_(pa.json_())
"""How `datasets` and TRL keep messages and tools that differ in their keys: each a JSON text, objects when read."""

KINDS = {"text": pa.string(), "flag": pa.bool_(), "rate": pa.float64(), "count": pa.int64(), "tools": JSON}


class NotPlain(Exception):
    """There are tools, or a message has more than a role and a text: then messages must be written as JSON."""


class Side:
    """One side's files, and how many rows they have."""

    def __init__(self, folder: Path, name: str, columns: Mapping[str, str], plain: bool) -> None:
        """`columns` with the kinds of their values, for parquet; without them any rows are written as JSON Lines."""
        self.rows = 0
        self._stem = folder / name
        self._columns, self._plain = columns, plain
        self._file: _Parquet | _Lines | None = None
        self._begun: list[Path] = []

    def add(self, row: Row) -> None:
        """One row: its columns, messages and tools as lists of dictionaries.

        Raises:
            NotPlain: the side's messages are plain ones, and these are not.
            ValueError: a number that no reader of the file could hold.
        """
        if self._file is None:
            self._begun.append(self._stem.with_name(f"{self._stem.name}-{len(self._begun):05}.part"))
            self._file = (
                _Parquet(self._begun[-1], self._columns, self._plain) if self._columns else _Lines(self._begun[-1])
            )
        self._file.add(row)
        self.rows += 1
        if self._file.bytes >= FILE_BYTES:
            self.close()

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def named(self) -> list[Path]:
        """The closed files, under the names they are to have; one in which there came to be no row is none."""
        suffix = "parquet" if self._columns else "jsonl"
        files = [path for path in self._begun if path.exists()]
        return [
            path.rename(self._stem.with_name(f"{self._stem.name}-{number:05}-of-{len(files):05}.{suffix}"))
            for number, path in enumerate(files)
        ]


class _Lines:
    def __init__(self, path: Path) -> None:
        self.bytes = 0
        self._file = path.open("wb")

    def add(self, row: Row) -> None:
        self.bytes += self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path, columns: Mapping[str, str], plain: bool) -> None:
        self.bytes = 0
        """Characters of the rows, before compression."""
        kinds = {**KINDS, "messages": PLAIN if plain else JSON}
        own = columns if plain else {**columns, "tools": "tools"}
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in own.items()])
        self._path, self._plain = path, plain
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[list[Any]] = []
        self._waiting_bytes = 0

    def add(self, row: Row) -> None:
        if self._plain and row.get("tools"):
            raise NotPlain
        values = [_encoded(row.get(field.name), field.type) for field in self._schema]
        self._waiting.append(values)
        size = sum(_weight(value) for value in values)
        self.bytes += size
        self._waiting_bytes += size
        if self._waiting_bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        if self._writer is not None:
            self._writer.close()

    def _write_group(self) -> None:
        columns = zip(*self._waiting, strict=True)
        arrays = [_array(list(values), field.type) for values, field in zip(columns, self._schema, strict=True)]
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting, self._waiting_bytes = [], 0


def _encoded(value: Any, kind: pa.DataType) -> Any:
    if value is None or not pa.types.is_list(kind):
        return value
    return [dumps(item) for item in value] if kind == JSON else [_plain(message) for message in value]


def _plain(message: Message) -> Message:
    if message.keys() != {"role", "content"} or not isinstance(message["content"], str):
        raise NotPlain
    return message


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(len(item) if isinstance(item, str) else len(item["content"]) for item in value)
    return 8


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind != JSON:
        return pa.array(values, kind)
    texts = pa.array(values, pa.list_(pa.string()))
    items = pa.ExtensionArray.from_storage(pa.json_(), texts.flatten())
    return pa.ListArray.from_arrays(texts.offsets, items, type=JSON, mask=texts.is_null())
