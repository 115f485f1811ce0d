"""Runs made row by row for the tests of `bon export`: any verdict, text, tool or prompt, as real parquet files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from bon_hydra.records import SCORED
from bon_hydra.results import SCHEMA, rewrite

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
METADATA = {
    "run_id": "20261123-140533-0a1b2c3d",
    "experiment": "study",
    "model": "mock-7b",
    "num_candidates": "4",
    "temperature": "0.7",
    "dataset": "openai/gsm8k",
    "dataset_revision": "740312add88f781978c0658806c59bc2815b9866",
    "status": "complete",
    "notes": "What: a test | of the card",
    "config_yaml": "dataset:\n  path: openai/gsm8k\n  name: main\n  sources: {}\nnum_candidates: 4\ntemperature: 0.7\n"
    "output:\n  dir: /home/somebody/outputs\nmodel:\n  base_url: http://10.0.0.7/v1\n",
}


def candidate(query: str, verdict: str = "pass", response: str | None = "Answer: 5", **fields: Any) -> dict[str, Any]:
    """One row, as a run writes it; `fields` override any column, `messages` and `calls` given as objects."""
    question = fields.pop("question", f"What is {query}?")
    messages = fields.pop(
        "messages", [{"role": "system", "content": "Be terse."}, {"role": "user", "content": question}]
    )
    calls, tools = fields.pop("calls", None), fields.pop("tools", None)
    row: dict[str, Any] = {field.name: None for field in SCHEMA} | {
        "query_id": f"id-{query}",
        "split": "math",
        "candidate_idx": 0,
        "is_verified": verdict == "pass",
        "is_scored": verdict in SCORED,
        "verdict": verdict,
        "verdict_reason": f"because {verdict}",
        "verifier": "math 3",
        "question": question,
        "prompt": json.dumps(messages),
        "tools": None if tools is None else json.dumps(tools),
        "reference": "5",
        "response": None if verdict == "api_error" else response,
        "tool_calls": None if calls is None else json.dumps(calls),
        "finish_reason": "stop",
        "reused": False,
        "attempts": 1,
        "latency_s": 0.125,
        "run_id": "run-1",
        "created_at": None if verdict == "api_error" else datetime(2026, 11, 23, 14, 5, 33, 123456, UTC),
        **fields,
    }
    row["candidate_id"] = (
        row["candidate_id"] or f"{query}/{response}/{json.dumps(calls)}/{verdict}/{row['finish_reason']}"
    )
    return row


def call(name: str, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    """A call as a server sends it: its arguments are JSON text."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}


def write(path: Path, rows: Sequence[dict[str, Any]], group_queries: int = 1000, **metadata: str) -> Path:
    """A run's file with these rows, so many queries to a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    queries = [list(own) for _, own in groupby(rows, key=lambda row: row["query_id"])]
    starts = range(0, len(queries), group_queries)
    groups = [[row for own in queries[start : start + group_queries] for row in own] for start in starts]
    rewrite(path, groups, lambda: {**METADATA, "total_records": str(len(rows)), "schema_version": "1", **metadata})
    return path


def study(path: Path, queries: int = 60) -> Path:
    """Sums with four candidates each, two right and two wrong ones of different lengths."""
    rows = []
    for number in range(queries):
        name = f"{number}+2"
        for index, (verdict, text) in enumerate(
            [
                ("pass", "Sum"),
                ("fail", "A guess, and a long one"),
                ("pass", "It is, as one sees at once"),
                ("fail", "No"),
            ]
        ):
            rows.append(candidate(name, verdict, f"{text}: {number}", candidate_idx=index, reference=str(number + 2)))
    return write(path, rows, group_queries=7)
