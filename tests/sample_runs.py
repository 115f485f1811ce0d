"""Runs made for tests: judged queries of any outcome, and real parquet files of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bon_hydra.records import Candidate, Judged, Query, Response, Verdict
from bon_hydra.results import ResultsWriter, RunFields

RUN = RunFields(run_id="run-1", model="mock", temperature=0.7)
ARRIVED = datetime(2026, 11, 23, 14, 5, 33, 123456, UTC)
METADATA = {"model": "mock", "num_candidates": "4", "temperature": "0.7", "splits": "math", "notes": "What: a test"}


def judged(
    name: str,
    verdicts: Sequence[str],
    *,
    split: str = "math",
    text: str = "Thinking. \\boxed{5}",
    response: Mapping[str, Any] | None = None,
    classes: Sequence[int | None] | None = None,
) -> Judged:
    """A query with one candidate a verdict; `api_error` has no response. `response` overrides its fields."""
    fields: dict[str, Any] = {
        "finish_reason": "stop",
        "prompt_tokens": 50,
        "completion_tokens": 20,
        "model": "mock-2026",
        "request_id": "req-1",
        "latency_s": 0.25,
        "created_at": ARRIVED,
        **(response or {}),
    }
    question = f"What is {name}?"
    query = Query(
        query_id=f"id-{name}",
        split=split,
        question=question,
        messages=({"role": "user", "content": question},),
        tools=None,
        reference="5",
        verifier="math",
    )
    candidates = tuple(
        Candidate(
            index=i,
            candidate_id=f"{name}/{i}",
            response=None if verdict == "api_error" else Response(text=text, **fields),
            error="HTTP 500 from the server" if verdict == "api_error" else None,
            attempts=9 if verdict == "api_error" else 1,
            final=verdict != "api_error",
            cost_usd=None if verdict == "api_error" else 0.001,
        )
        for i, verdict in enumerate(verdicts)
    )
    judgements = tuple(
        Verdict(
            verdict,
            reason=f"because {verdict}",
            verifier="math 1",
            error="boom" if verdict == "verifier_error" else None,
        )
        for verdict in verdicts
    )
    prompt = json.dumps([{"role": "system", "content": "Use \\boxed{}."}, {"role": "user", "content": question}])
    return Judged(query, prompt, candidates, judgements, tuple(classes or [None] * len(verdicts)))


def write(path: Path, queries: Sequence[Judged], metadata: Mapping[str, str] = METADATA) -> Path:
    """A run's file, as a run writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ResultsWriter(path, RUN) as writer:
        for order, query in enumerate(queries):
            writer.put(order, query)
        writer.close(metadata)
    return path


def write_mixed(path: Path, metadata: Mapping[str, str] = METADATA) -> Path:
    """Two splits, nine candidates: of math 3 of 7 scored are verified (first 1 of 2, any 2 of 2), of tools 0 of 1."""
    return write(
        path,
        [
            judged("one", ["pass", "pass", "fail", "no_answer"]),
            judged("two", ["fail", "pass", "timeout", "api_error"]),
            judged("three", ["fail"], split="tools"),
        ],
        metadata,
    )
