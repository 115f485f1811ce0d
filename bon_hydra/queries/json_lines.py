"""Rows of .json and .jsonl files, every number as it was written.

A file holds one object a line, or is one document: an array of objects, one object, or an object with a field that
holds the array. A line that cannot be read is a row with a problem, never the end. Files are opened by `datasets`, so
they may be local, on the Hub, or compressed.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from bon_hydra.queries.json_numbers import iter_array, loads

BLOCK = 64 * 1024
"""Bytes of a block; a seeded order draws blocks of lines, then lines."""


@dataclass(frozen=True, slots=True)
class Read:
    """One row as it was found: where, for a person, and either the row or why there is none."""

    where: str
    row: dict[str, Any] | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A file of plain bytes (a path or URL that `datasets` opens), its name for a reader, and the builder's `field`."""

    path: str
    name: str
    field: str | None = None

    def is_document(self) -> bool:
        """Whether the file is one JSON document: decided by its name (.jsonl never is), else by its first line.

        A file whose first line is neither an object nor part of a document counts as lines, whose bad ones are named.
        """
        if self.field:
            return True
        if re.search(r"\.(jsonl|ndjson)\b", self.name):
            return False
        with self.open() as file:
            first = next((line for line in file if line.strip()), b"")
            if first.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
                return True
            if _parse(first, "").row is not None:
                return False
            try:
                loads(first + file.read())
            except ValueError:
                return False
            return True

    def rows(self) -> Iterator[Read]:
        """Every row in the file's order."""
        if self.is_document():
            yield from self.document()
            return
        with self.open() as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(line, f"{self.name}:{number}")

    def document(self) -> Iterator[Read]:
        """Every element of the document; the text is in memory, and one parsed element of an array."""
        with self.open() as file:
            content = file.read()
        count = 0
        try:
            text = content.decode("utf-8-sig")
            del content
            if self.field or not text.lstrip().startswith("["):
                value = loads(text)
                found = value.get(self.field) if self.field and isinstance(value, dict) else value
                elements: Iterator[tuple[int, Any]] = enumerate(found if isinstance(found, list) else [found])
            else:
                elements = iter_array(text)
            for _, element in elements:
                count += 1
                yield _as_row(element, f"{self.name} element {count}")
        except ValueError as error:
            yield Read(f"{self.name} element {count + 1}", None, f"not JSON, and all after it is lost: {error}")

    def block_count(self) -> int:
        """Blocks of lines in the file, at least 1."""
        from datasets.utils.file_utils import xgetsize

        return max(1, -(-int(xgetsize(self.path)) // BLOCK))

    def block(self, index: int) -> LineBlock:
        """The lines that begin in the block's bytes."""
        start, end = index * BLOCK, (index + 1) * BLOCK
        lines: list[tuple[int, bytes]] = []
        with self.open() as file:
            position = start
            if start:
                file.seek(start - 1)
                position += len(file.readline()) - 1  # the line that holds the byte before belongs to the block before
            while position < end and (line := file.readline()):
                if line.strip():
                    lines.append((position, line))
                position += len(line)
        return LineBlock(self.name, lines)

    def open(self) -> BinaryIO:
        """The file's bytes, buffered."""
        from datasets.download.streaming_download_manager import xopen

        file = xopen(self.path, "rb")
        return cast(BinaryIO, file if isinstance(file, io.BufferedReader) else io.BufferedReader(file, 1 << 20))


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Lines with the byte offsets at which they begin, parsed when they are asked for."""

    name: str
    lines: list[tuple[int, bytes]]

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int, /) -> Read:
        offset, line = self.lines[index]
        return _parse(line, f"{self.name}, line at byte {offset}")


def _parse(line: bytes, where: str) -> Read:
    try:
        return _as_row(loads(line), where)
    except UnicodeDecodeError as error:
        return Read(where, None, f"not UTF-8: byte {error.object[error.start]:#04x} at position {error.start}")
    except json.JSONDecodeError as error:
        return Read(where, None, f"not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return Read(where, None, f"not readable JSON: {error}")


def _as_row(value: Any, where: str) -> Read:
    if isinstance(value, dict):
        return Read(where, value)
    return Read(where, None, f"a JSON {type(value).__name__}, wanted an object with the row's columns")
