"""One row of a large table by its number, reading only what holds it: a row group of a Parquet file, a line of a JSONL.

The table is one split of a data set, as files in a folder (a local one, or any URL that fsspec opens, such as
hf://datasets/OWNER/NAME@REVISION). Row groups that came over the network are kept in a cache folder. Knows no columns.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

from bon_hydra.queries.json_numbers import loads

FOOTERS_AT_ONCE = 8
CACHED_GROUP_ROWS = 8
"""Rows of a row group in the cache, so that reading one of them again decodes few others."""

_FOLDERS = ("ALL/", "all/", "default/", "data/", "")
"""Where data sets keep the files of all their rows, before those of a part."""


class Table:
    """The rows of a split in the order of its files' names.

    Raises:
        FileNotFoundError: the folder has no file of this split.
        KeyError: the files lack one of `columns`; the message is its name.
        OSError, ValueError: a file cannot be read.
    """

    def __init__(self, root: str, split: str, columns: Sequence[str], optional: Sequence[str], cache: Path) -> None:
        import fsspec

        self._files, path = fsspec.core.url_to_fs(root)
        self._columns = (*columns, *optional)
        names = _names(self._files, path, split, local="://" not in root)
        if not names:
            raise FileNotFoundError(f"{root} has no files of split {split!r}")
        self._cache: Path | None = None
        if "://" in root:
            sizes = [[name, self._files.info(name)["size"]] for name in names]
            key = hashlib.sha256(json.dumps([root, sizes, self._columns]).encode()).hexdigest()[:24]
            self._cache = cache / key
        with ThreadPoolExecutor(FOOTERS_AT_ONCE) as threads:
            self._parts: list[_Parquet | _Arrow | _Lines] = list(threads.map(self._part, names))
        known = self._parts[0].columns
        for column in columns:
            if known is not None and column not in known:
                raise KeyError(column)
        self._ends = list(accumulate(len(part) for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def row(self, number: int) -> dict[str, Any]:
        """The row of a number from 0 to below the length."""
        part = bisect_right(self._ends, number)
        return self._parts[part].row(number - (self._ends[part] - len(self._parts[part])))

    def _part(self, name: str) -> _Parquet | _Arrow | _Lines:
        if name.endswith(".parquet"):
            return _Parquet(self._files, name, self._columns, self._cache)
        return _Arrow(name) if name.endswith(".arrow") else _Lines(name)


def _names(files: Any, path: str, split: str, *, local: bool) -> list[str]:
    """The files of the split below a folder; of a file or a pattern those that are not named after another split."""
    if glob.has_magic(path) or files.isfile(path):
        found = sorted(files.glob(path)) if glob.has_magic(path) else [path]
        named = [name for name in found if Path(name).name.startswith(("train", "test", "valid"))]
        return [name for name in found if name not in named or Path(name).name.startswith(split)]
    for ending in (".parquet", ".arrow", ".jsonl") if local else (".parquet",):
        for folder in _FOLDERS:
            for shape in (f"{split}-*{ending}", f"{split}/*{ending}", f"partial-{split}/*{ending}", f"{split}{ending}"):
                if found := sorted(files.glob(f"{glob.escape(path)}/{folder}{shape}")):
                    return found
    return []


class _Parquet:
    def __init__(self, files: Any, name: str, wanted: Sequence[str], cache: Path | None) -> None:
        self._files, self._name, self._cache = files, name, cache
        footer = None if cache is None else cache / f"{_slug(name)}.json"
        if footer is not None and footer.exists():
            known = json.loads(footer.read_text())
        else:
            known = self._footer()
            if footer is not None:
                _write(footer, json.dumps(known).encode())
        self.columns: list[str] | None = known["columns"]
        self._wanted = [column for column in wanted if column in known["columns"]]
        self._ends = list(accumulate(known["rows"]))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def row(self, number: int) -> dict[str, Any]:
        group = bisect_right(self._ends, number)
        offset = number - (self._ends[group - 1] if group else 0)
        if self._cache is None:
            with self._files.open(self._name, "rb") as file:
                return _row(file, group, offset, self._wanted)
        kept = self._cache / f"{_slug(self._name)}-{group}.parquet"
        if not kept.exists():
            self._keep(group, kept)
        with kept.open("rb") as file:
            return _row(file, offset // CACHED_GROUP_ROWS, offset % CACHED_GROUP_ROWS, self._wanted)

    def _footer(self) -> dict[str, Any]:
        import pyarrow.parquet as pq

        with self._files.open(self._name, "rb") as file:
            parquet = pq.ParquetFile(file)
            groups = (parquet.metadata.row_group(group) for group in range(parquet.num_row_groups))
            return {"columns": parquet.schema_arrow.names, "rows": [group.num_rows for group in groups]}

    def _keep(self, group: int, kept: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._files.open(self._name, "rb") as file:
            table = pq.ParquetFile(file, pre_buffer=True).read_row_group(group, columns=self._wanted)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=CACHED_GROUP_ROWS, compression="zstd")
        _write(kept, sink.getvalue())


class _Arrow:
    """A file that `datasets` saved to disk; it stays there and is mapped."""

    def __init__(self, name: str) -> None:
        from datasets import Dataset

        self._rows = Dataset.from_file(name)
        self.columns: list[str] | None = self._rows.column_names

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, number: int) -> dict[str, Any]:
        return dict(self._rows[number])


class _Lines:
    """A JSONL file; memory holds where its lines start."""

    columns: list[str] | None = None

    def __init__(self, name: str) -> None:
        self._path = Path(name)
        self._starts = array("Q")
        position = 0
        with self._path.open("rb") as file:
            for line in file:
                if line.strip():
                    self._starts.append(position)
                position += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def row(self, number: int) -> dict[str, Any]:
        with self._path.open("rb") as file:
            file.seek(self._starts[number])
            row = loads(file.readline())
        if not isinstance(row, dict):
            raise ValueError(f"{self._path.name}: row {number} is not an object")
        return row


def _row(file: Any, group: int, offset: int, columns: Sequence[str]) -> dict[str, Any]:
    """A row of a row group, decoding little beyond it."""
    import pyarrow.parquet as pq

    batches = pq.ParquetFile(file).iter_batches(CACHED_GROUP_ROWS, row_groups=[group], columns=list(columns))
    for batch in batches:
        if offset < batch.num_rows:
            return dict(batch.slice(offset, 1).to_pylist()[0])
        offset -= batch.num_rows
    raise ValueError(f"row group {group} is shorter than its file says")


def _slug(name: str) -> str:
    return name.strip("/").replace("/", "__")[-100:]


def _write(path: Path, content: Any) -> None:
    """Write a file whole or not at all, also where another process writes the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)  # noqa: PTH105 - the same, and both are names already
