"""The queries of one or several runs, each with all of its candidates, in bounded memory.

An index of 8 bytes a candidate says which rows of which file are one query's; then a block of queries at a time
is read. Knows rows, not what becomes of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bon_hydra.runs import open_run, read_batches, read_rows

Row = dict[str, Any]

BLOCK_BYTES = 32 << 20
"""So much of the files' content, uncompressed, is in memory at once (as Python objects, a few times that)."""


def pooled_queries(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[list[Row]]:
    """Each query's rows out of all files, queries in order of first appearance; rows in the order of `paths`.

    A draw that stands in several files (one `candidate_id`) is given once, with a response where one file has it.
    Raises ConfigError for a file that cannot be read.
    """
    keys = [_keys(path) for path in paths]
    starts = np.cumsum([0, *(len(k) for k in keys)])
    if not starts[-1]:
        return
    _, first, which = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    appeared = first[which]  # for each row, where its query appeared first
    order = np.argsort(appeared, kind="stable")
    for begin, end in _blocks(appeared[order], max(1, int(BLOCK_BYTES / _bytes_a_row(paths)))):
        rows = np.sort(order[begin:end])
        queries: dict[tuple[Any, Any], list[Row]] = {}
        for path, low, high in zip(paths, starts, starts[1:], strict=False):
            here = rows[(rows >= low) & (rows < high)] - low
            for row in read_rows(path, columns, here.tolist()) if len(here) else ():
                queries.setdefault((row["split"], row["query_id"]), []).append(row)
        for candidates in queries.values():
            yield _each_once(candidates)


def _keys(path: Path) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """64 bits of each row's query_id. Two queries that share them share a block, and no more."""
    found = [np.empty(0, np.uint64)]
    for batch in read_batches(path, ["query_id"]):
        encoded = batch["query_id"].dictionary_encode()
        names = (str(name).encode("utf-8", "surrogatepass") for name in encoded.dictionary.to_pylist())
        hashes = [int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") for name in names]
        indices = encoded.indices.fill_null(len(hashes)).to_numpy(zero_copy_only=False)
        found.append(np.array([*hashes, 0], np.uint64)[indices])
    return np.concatenate(found)


def _bytes_a_row(paths: Sequence[Path]) -> float:
    rows = size = 0
    for path in paths:
        with open_run(path) as file:
            metadata = file.metadata
            rows += metadata.num_rows
            size += sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1.0, size / max(1, rows))


def _blocks(queries: np.ndarray[Any, Any], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of about `most` rows that end where a query ends; `queries` is ascending."""
    ends = np.append(np.flatnonzero(np.diff(queries)) + 1, len(queries))
    begin = 0
    while begin < len(queries):
        fitting = int(np.searchsorted(ends, begin + most, side="right")) - 1
        end = int(ends[fitting]) if fitting >= 0 and ends[fitting] > begin else int(ends[fitting + 1])
        yield begin, end
        begin = end


def _each_once(candidates: list[Row]) -> list[Row]:
    found: dict[Any, Row] = {}
    for number, row in enumerate(candidates):
        key = row.get("candidate_id") or number
        if key not in found or (found[key]["verdict"] == "api_error" != row["verdict"]):
            found[key] = row
    return list(found.values())
