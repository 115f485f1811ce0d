"""Judging a run's stored answers again with today's verifiers: no model is asked, the file alone is enough.

Knows runs and verifiers; knows neither the store nor any API.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from bon_hydra.records import SCORED, Candidate, Query, Response, Verdict
from bon_hydra.report.summary import write_summary
from bon_hydra.results import rewrite
from bon_hydra.runs import json_object, read_groups, read_metadata
from bon_hydra.schema import ConfigError, SandboxConfig
from bon_hydra.verifiers import UnknownVerifier, verifier_of
from bon_hydra.verifiers.pool import Judges

NEEDED = ("verdict", "verdict_reason", "verifier", "reference", "tools", "response", "tool_calls", "finish_reason")
KEPT_EXAMPLES = 3


class NotJudged(Exception):
    """A row names no verifier that is installed, or holds no tools that can be read; the message says which."""


@dataclass
class Changes:
    """What judging again has changed."""

    candidates: int = 0
    verified_before: int = 0
    verified_after: int = 0
    scored_before: int = 0
    scored_after: int = 0
    moves: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(split, verdict before, verdict after): candidates, where the two differ."""
    examples: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    """The first few of each move: query, candidate and both reasons."""

    def add(self, row: dict[str, Any], verdict: Verdict) -> None:
        """Counts one candidate."""
        before, after = row["verdict"], verdict.verdict
        self.candidates += 1
        self.verified_before += before == "pass"
        self.verified_after += after == "pass"
        self.scored_before += before in SCORED
        self.scored_after += after in SCORED
        if before != after:
            move = (row["split"], before, after)
            self.moves[move] += 1
            examples = self.examples.setdefault(move, [])
            if len(examples) < KEPT_EXAMPLES:
                was = row["verdict_reason"]
                examples.append(f"{row['query_id']} candidate {row['candidate_idx']}: {was} -> {verdict.reason}")


def verify(path: Path, workers: int, sandbox: SandboxConfig, write: bool, verifier: str | None = None) -> Changes:
    """Judges every candidate of a run's file again, by its own verifier, or to compare by another `verifier`.

    With `write` the file is replaced, atomically, and the old one stays beside it as `<name>.before-verify` (`-1`,
    `-2` … where that is taken). Without, nothing is written.

    Raises:
        ConfigError: the file isn't a run, has no answers to judge (one of an earlier system's), or there is no such
            verifier; another one's verdicts are to be written.
    """
    if verifier is not None:
        _check_other(verifier, write)
    metadata = read_metadata(path)
    changes = Changes()
    if not write:
        for _ in _judged_again(path, workers, sandbox, changes, verifier):
            pass
        return changes
    totals = json_object(metadata.get("totals"))

    def finished() -> dict[str, str]:
        totals["verification_rate"] = changes.verified_after / changes.scored_after if changes.scored_after else None
        return metadata | {"totals": json.dumps(totals), "verified_at": datetime.now(UTC).isoformat()}

    file = path.resolve()  # a link in the run folder, where the file itself lies elsewhere
    part = file.with_name(file.name + ".verify.part")
    part.unlink(missing_ok=True)  # a link of that name would lead elsewhere
    rewrite(part, _judged_again(path, workers, sandbox, changes), finished)
    _keep(file)
    part.replace(file)
    if path.with_name("summary.json").exists():
        write_summary(path, metadata.get("status", "complete"))
    return changes


def _check_other(verifier: str, write: bool) -> None:
    if write:
        raise ConfigError(f"--verifier {verifier}: what another verifier says is not written; leave out --write")
    try:
        verifier_of(verifier)
    except UnknownVerifier as error:
        raise ConfigError(f"--verifier: {error}") from None


def _keep(path: Path) -> Path:
    """A second name for the file as it is."""
    number = 0
    while True:
        kept = path.with_name(f"{path.name}.before-verify" + (f"-{number}" if number else ""))
        try:
            os.link(path, kept)
        except FileExistsError:
            number += 1
        else:
            return kept


def _judged_again(
    path: Path, workers: int, sandbox: SandboxConfig, changes: Changes, verifier: str | None = None
) -> Iterator[list[dict[str, Any]]]:
    """The file's rows, a row group at a time, with today's verdicts in them."""
    with asyncio.Runner() as loop:
        judges = Judges(workers, sandbox=sandbox)
        loop.run(judges.__aenter__())
        try:
            for rows in read_groups(path):
                missing = [name for name in NEEDED if name not in rows[0]]
                if missing:
                    raise ConfigError(f"{path}: cannot be judged again: it has no column {', '.join(missing)}")
                try:
                    own = [row | {"verifier": verifier} for row in rows] if verifier else rows
                    judged = loop.run(_judge(own, judges, changes, 4 * workers))
                except NotJudged as error:
                    raise ConfigError(f"{path}: cannot be judged again: {error}") from error
                yield judged
        finally:
            loop.run(judges.__aexit__(None, None, None))


async def _judge(rows: list[dict[str, Any]], judges: Judges, changes: Changes, at_once: int) -> list[dict[str, Any]]:
    window = asyncio.Semaphore(at_once)

    async def one_query(own: list[dict[str, Any]]) -> list[dict[str, Any]]:
        async with window:
            verdicts, classes = await judges.judge(_query(own[0]), [_candidate(row) for row in own])
        return [
            row | _columns(row, verdict, number) for row, verdict, number in zip(own, verdicts, classes, strict=True)
        ]

    queries = [list(own) for _, own in groupby(rows, key=lambda row: (row["split"], row["query_id"]))]
    judged = await asyncio.gather(*(one_query(own) for own in queries))
    for own, new in zip(queries, judged, strict=True):
        for before, after in zip(own, new, strict=True):
            changes.add(before, Verdict(after["verdict"], after["verdict_reason"]))
    return [row for own in judged for row in own]


def _query(row: dict[str, Any]) -> Query:
    try:
        name = row["verifier"].partition(" ")[0]
        verifier_of(name)
        tools = tuple(json.loads(row["tools"])) if row["tools"] else None
    except (UnknownVerifier, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotJudged(f"query {row['query_id']}: {error}") from error
    return Query(
        query_id=row["query_id"],
        split=row["split"],
        question=row["question"] or "",
        messages=(),
        tools=tools,
        reference=row["reference"],
        verifier=name,
    )


def _candidate(row: dict[str, Any]) -> Candidate:
    response = Response(
        text=row["response"],
        # The file has no column for it; what the first judge said of a refusal is all there is.
        refused=row["verdict"] == "no_answer" and row["verdict_reason"].startswith("refused"),
        reasoning=row["reasoning"],
        tool_calls=row["tool_calls"],
        finish_reason=row["finish_reason"],
    )
    missing = row["verdict"] == "api_error"
    return Candidate(row["candidate_idx"], row["candidate_id"], None if missing else response, error=row["error"])


def _columns(row: dict[str, Any], verdict: Verdict, answer_class: int | None) -> dict[str, Any]:
    return {
        "is_verified": verdict.verdict == "pass",
        "is_scored": verdict.verdict in SCORED,
        "verdict": verdict.verdict,
        "verdict_reason": verdict.reason,
        "verifier": verdict.verifier,
        "score": verdict.score,
        "scorer": verdict.scorer,
        "answer": verdict.answer,
        "answer_class": answer_class,
        "error": row["error"] if verdict.verdict == "api_error" else verdict.error,
    }
