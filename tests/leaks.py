"""Looking for a key in all that a run leaves, also where it is packed: SQLite's rows, zstd, Parquet's columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard


def files_with(key: str, folder: Path) -> list[str]:
    """The files below `folder` that hold the key, each with where."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found += [f"{path.name}: {where}" for where, data in _contents(path) if key.encode() in data]
    return found


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """All that a file says, packed and unpacked; its name too."""
    data = path.read_bytes()
    yield "name", str(path).encode()
    yield "bytes", data
    if data.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in database.execute(f"SELECT * FROM {table}"):
                    yield from ((table, _unpacked(value)) for value in row)
    if data.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield "rows", str(table.to_pylist()).encode("utf-8", "replace")
        yield from ((f"metadata {name.decode()}", value) for name, value in (table.schema.metadata or {}).items())


def _unpacked(value: Any) -> bytes:
    if isinstance(value, bytes):
        try:
            return zstandard.ZstdDecompressor().decompress(value)
        except zstandard.ZstdError:
            return value
    return str(value).encode("utf-8", "replace")
