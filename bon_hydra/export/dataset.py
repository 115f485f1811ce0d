"""`bon export`: runs in, a folder out that `datasets.load_dataset` reads and `hf upload` takes as it is.

Read `export` from top to bottom. Nothing is written where there is nothing to write, and nothing is overwritten:
the folder is made beside its place and moved there when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bon_hydra.export.card import card
from bon_hydra.export.contents import Contents
from bon_hydra.export.files import NotPlain, Side
from bon_hydra.export.formats import COLUMNS, EVERYWHERE, Asked, Row, rows_of, size
from bon_hydra.export.messages import Unusable, read_prompt, read_tools
from bon_hydra.export.options import Options
from bon_hydra.export.pool import pooled_queries
from bon_hydra.runs import find_runs, open_run
from bon_hydra.schema import ConfigError

NEEDED = ("query_id", "split", "verdict", "verdict_reason", "verifier", "candidate_id", "question", "prompt", "tools")
ANSWERS = ("reference", "response", "reasoning", "tool_calls", "finish_reason")
SIDES = ("train", "validation")


def export(specs: Sequence[str], options: Options, out: Path) -> tuple[Contents, list[Path]]:
    """Writes the runs that `specs` stand for into the folder `out`; returns what is in it, and its data files.

    Raises:
        ConfigError: a run that cannot be read or has not what is needed, `out` is there already, nothing to export.
    """
    out = out.expanduser().resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"-o {out}: is there already and is not an empty folder; nothing is overwritten")
    paths = find_runs(specs)
    columns = _columns(paths, options.format)
    parent = next(folder for folder in out.parents if folder.exists())
    part = parent / f".{out.name}.{os.getpid()}.part"
    try:
        (part / "data").mkdir(parents=True)
        try:
            contents, files = _write(paths, columns, options, part / "data", plain=True)
        except NotPlain:
            contents, files = _write(paths, columns, options, part / "data", plain=False)
        _refuse_nothing(contents, options, specs)
        (part / "README.md").write_text(card(paths, contents, options), encoding="utf-8")
        out.parent.mkdir(parents=True, exist_ok=True)
        part.replace(out)
    except OSError as error:
        raise ConfigError(f"-o {out}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return contents, [out / "data" / file.name for file in files]


def _write(
    paths: Sequence[Path], columns: Sequence[str], options: Options, folder: Path, plain: bool
) -> tuple[Contents, list[Path]]:
    """The data files; raises NotPlain where that turns out to be needed."""
    for file in folder.iterdir():
        file.unlink()
    contents = Contents(plain)
    kinds = COLUMNS.get(options.format, {})
    sides = {name: Side(folder, name, kinds and {**kinds, **EVERYWHERE}, plain) for name in SIDES}
    try:
        for candidates in pooled_queries(paths, columns):
            name = _side(candidates[0], options.validation)
            before = sides[name].rows
            for row in _rows(candidates, columns, options, contents):
                try:
                    sides[name].add(row)
                except ValueError:
                    contents.left_out["rows with a number that `datasets` could not read"] += 1
                    continue
                contents.splits[candidates[0]["split"]] += 1
                _measure(row, contents)
            contents.rows[name] += sides[name].rows - before
            contents.queries[name] += sides[name].rows > before
    finally:
        for side in sides.values():
            side.close()
    return contents, [file for side in sides.values() for file in side.named()]


def _rows(
    candidates: list[Row], columns: Sequence[str], options: Options, contents: Contents
) -> Iterator[dict[str, Any]]:
    contents.verifiers.update(row["verifier"] for row in candidates if row.get("verifier"))
    if options.format == "jsonl":
        yield from ({name: row.get(name) for name in columns} for row in candidates)
        return
    # Another run may have asked the same query in other words; only answers to the same words are comparable.
    by_prompt = sorted(candidates, key=lambda row: (row["prompt"] or "", row["tools"] or ""))
    for _, same in groupby(by_prompt, key=lambda row: (row["prompt"], row["tools"])):
        own = list(same)
        first = own[0]
        try:
            prompt, tools = read_prompt(first["prompt"]), read_tools(first["tools"])
        except Unusable as why:
            contents.left_out[str(why)] += 1
            continue
        asked = Asked(first["query_id"], first["split"], prompt, tools, first["reference"], own)
        yield from rows_of(asked, options, contents.left_out)


def _side(row: Row, validation: float) -> str:
    """By a hash of the question, so that all prompts and repetitions of it stand on one side, in every export."""
    text = row.get("question") or row["query_id"] or ""
    drawn = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]) / 2**64
    return SIDES[drawn < validation]


def _measure(row: Row, contents: Contents) -> None:
    for name in ("completion", "chosen", "rejected"):
        if name in row:
            contents.lengths.setdefault(name, array("L")).append(size(row[name][0]))


def _columns(paths: Sequence[Path], format_name: str) -> list[str]:
    """The columns to read; every one there is for `jsonl`."""
    there: dict[str, None] = {}
    for path in paths:
        with open_run(path) as file:
            names = file.schema_arrow.names
        missing = [name for name in (*NEEDED, *ANSWERS) if name not in names]
        if missing and format_name != "jsonl":
            raise ConfigError(
                f"{path}: cannot be exported as {format_name}: it has no column {', '.join(missing)} (jsonl takes any)"
            )
        there |= dict.fromkeys(names)
    return list(there) if format_name == "jsonl" else [*NEEDED, *ANSWERS]


def _refuse_nothing(contents: Contents, options: Options, specs: Sequence[str]) -> None:
    if not contents.rows.total():
        why = "; ".join(f"{reason}: {count:,}" for reason, count in contents.left_out.most_common() if count)
        raise ConfigError(f"{' '.join(specs)}: nothing to export as {options.format}: {why or 'no candidates at all'}")
    if not contents.rows["train"]:
        raise ConfigError(
            f"{' '.join(specs)}: so few questions that all of them are kept for validation; --validation 0 keeps none"
        )
