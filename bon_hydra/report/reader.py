"""A run's queries and candidates to read in the terminal: prompt, reference, each answer with its verdict."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from bon_hydra.records import VERDICTS
from bon_hydra.report.disputes import disputed
from bon_hydra.runs import read_batches, read_rows
from bon_hydra.schema import ConfigError

KEYS = ("query_id", "split", "verdict", "is_verified")
"""Columns that say which rows are wanted; the others are read where some are."""

COLUMNS = (
    *KEYS,
    "candidate_idx",
    "verdict_reason",
    "verifier",
    "score",
    "answer",
    "question",
    "prompt",
    "tools",
    "reference",
    "source_id",
    "response",
    "reasoning",
    "tool_calls",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "error",
)

FOLDED_LINES = 30
FOLDED_CHARACTERS = 3_000
"""A text longer than this is folded, but where a query was asked for by its id."""
ANSWER_CHARACTERS = 80

STYLES = {"pass": "bold green", "fail": "bold red", "timeout": "bold red", "no_answer": "bold yellow"}


@dataclass(frozen=True)
class Wanted:
    """Which candidates to show; None is any."""

    query: str | None = None
    """A query's id, or how it begins."""
    split: str | None = None
    verdict: str | None = None
    disputed: bool = False
    """Only those whose verdict something in the file speaks against."""

    def __str__(self) -> str:
        named = {"--query": self.query, "--split": self.split, "--verdict": self.verdict}
        given = [f"{name} {value}" for name, value in named.items() if value is not None]
        return " ".join([*given, *["--disputed"] * self.disputed])


def show(path: Path, wanted: Wanted, limit: int, out: Console, seed: int | None = None) -> int:
    """Print the first `limit` queries that have wanted candidates; returns how many more there are.

    With a `seed` they are drawn at random, and shown in the file's order. Raises ConfigError where there is none,
    naming what there is.
    """
    if wanted.verdict is not None and wanted.verdict not in VERDICTS:
        raise ConfigError(f"--verdict {wanted.verdict}: no such verdict, wanted one of {', '.join(VERDICTS)}")
    why = disputed(path) if wanted.disputed else {}
    if wanted.disputed and not why:
        out.print("Nothing in this file speaks against any of its verdicts.")
        return 0
    queries, more, splits = _find(path, wanted, why, limit if seed is None else None)
    if seed is not None and len(queries) > limit:
        more = len(queries) - limit
        queries = [queries[at] for at in sorted(random.Random(seed).sample(range(len(queries)), limit))]
    if not queries:
        known = f"; its splits are {', '.join(splits)}" if splits else ""
        raise ConfigError(f"{path}: {f'no candidate with {wanted}' if str(wanted) else 'no candidates at all'}{known}")
    rows = read_rows(path, COLUMNS, [at for query in queries for at in query])
    for number, query in enumerate(queries, 1):
        candidates = [row | {"disputed": why.get(at)} for at, row in zip(query, rows, strict=False)]
        _print_query(candidates, f"{number} of {len(queries) + more}", out, fold=wanted.query is None)
    return more


def _find(
    path: Path, wanted: Wanted, disputed: Mapping[int, str], limit: int | None
) -> tuple[list[list[int]], int, list[str]]:
    """Where the rows of each of the first `limit` wanted queries are, how many more there are, and all splits."""
    import pyarrow.compute as pc

    queries: list[list[int]] = []
    more = first = 0
    splits: set[str] = set()
    last = None
    for batch in read_batches(path, KEYS):
        taken = np.ones(len(batch), bool)
        splits.update(str(name) for name in pc.unique(batch["split"]).to_pylist())
        if wanted.query is not None:
            taken &= pc.starts_with(batch["query_id"], wanted.query).to_numpy(zero_copy_only=False).astype(bool)
        if wanted.split is not None:
            taken &= pc.equal(batch["split"], wanted.split).to_numpy(zero_copy_only=False).astype(bool)
        if wanted.verdict is not None:
            taken &= _verdicts(batch) == wanted.verdict
        if wanted.disputed:
            taken &= [first + at in disputed for at in range(len(batch))]
        where = np.flatnonzero(taken)
        keys = zip(batch["split"].take(where).to_pylist(), batch["query_id"].take(where).to_pylist(), strict=True)
        for at, key in zip(where.tolist(), keys, strict=True):
            if key != last:
                last = key
                if limit is None or len(queries) < limit:
                    queries.append([])
                else:
                    more += 1
            if not more:
                queries[-1].append(first + at)
        first += len(batch)
    return queries, more, sorted(splits)


def _verdicts(rows: Any) -> Any:
    """The verdict of each row; files of the seed's system know only whether it is verified."""
    if "verdict" in rows.schema.names:
        return rows["verdict"].to_numpy(zero_copy_only=False)
    return np.where(rows["is_verified"].fill_null(False).to_numpy(zero_copy_only=False), "pass", "fail")


def _print_query(rows: list[dict[str, Any]], number: str, out: Console, fold: bool) -> None:
    first = rows[0]
    _heading(f"Query {first['query_id']} · {first['split']} · {number}", out, "bold cyan", rule="=")
    for message in _messages(first):
        _field(str(message.get("role", "message")), _content(message), out, fold)
    _field("tools", first.get("tools"), out, fold)
    _field("reference", first.get("reference"), out, fold)
    for row in rows:
        _print_candidate(row, out, fold)


def _messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that were sent; the question alone where they were not kept."""
    try:
        messages = json.loads(row.get("prompt") or "")
    except ValueError:
        messages = None
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        return messages
    text = row.get("prompt") or row.get("question")
    return [{"role": "prompt", "content": text}] if text else []


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    calls = message.get("tool_calls")
    return "\n".join([text] * bool(text) + [json.dumps(calls, ensure_ascii=False)] * bool(calls))


def _print_candidate(row: dict[str, Any], out: Console, fold: bool) -> None:
    verdict = row.get("verdict") or ("pass" if row["is_verified"] else "fail")
    score = row.get("score")
    facts = [
        f"candidate {row['candidate_idx']}: {verdict}",
        row.get("verdict_reason"),
        f"disputed: {row['disputed']}" if row["disputed"] else None,
        None if score is None else f"score {score:.3g}",
        None if row.get("answer") is None else f"answer {_one_line(row['answer'])}",
        _tokens(row),
        row.get("verifier"),
    ]
    _heading(" · ".join(fact for fact in facts if fact), out, STYLES.get(verdict, "bold yellow"), rule="-")
    for name in ("reasoning", "response", "tool_calls", "error"):
        _field("" if name == "response" else name, row.get(name), out, fold)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= ANSWER_CHARACTERS else line[:ANSWER_CHARACTERS] + "…"


def _tokens(row: dict[str, Any]) -> str | None:
    completion, reason = row.get("completion_tokens"), row.get("finish_reason")
    if completion is None:
        return "cut off" if reason == "length" else None
    return f"{completion:,} tokens" + (", cut off" if reason == "length" else "")


def _heading(text: str, out: Console, style: str, rule: str) -> None:
    out.print(Text(f"{rule * 2} {text}", style=style), soft_wrap=True)


def _field(name: str, text: str | None, out: Console, fold: bool) -> None:
    if not text:
        return
    if name:
        out.print(Text(f"{name}:", style="dim"))
    out.print(Text(folded(text) if fold else text), soft_wrap=True)
    out.print()


def folded(text: str) -> str:
    """The beginning and the end of a long text, with a note of what is left out between them."""
    lines = text.splitlines()
    if len(lines) > FOLDED_LINES:
        half = FOLDED_LINES // 2
        note = f"[… {len(lines) - 2 * half} lines; --query ID shows all of it …]"
        text = "\n".join([*lines[:half], note, *lines[-half:]])
    if len(text) > FOLDED_CHARACTERS:
        half = FOLDED_CHARACTERS // 2
        note = f"[… {len(text) - 2 * half:,} characters; --query ID shows all of it …]"
        text = f"{text[:half]}\n{note}\n{text[-half:]}"
    return text
