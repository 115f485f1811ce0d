"""What flows through a run: Query -> Response -> Candidate, judged by a Verdict.

Plain frozen data without behaviour. This module imports nothing of the project and does not
know where a query comes from, who answers it, who judges it, or how rows are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Message = dict[str, Any]
"""One chat message as the API takes it: role, content, and for assistant turns perhaps tool_calls."""

VERDICTS = ("pass", "fail", "timeout", "no_answer", "unverifiable", "verifier_error", "api_error")
"""Every verdict there is, in the order tables show them."""

SCORED = frozenset({"pass", "fail", "timeout", "no_answer"})
"""Verdicts that say something about the answer; the others never count as wrong."""


@dataclass(frozen=True, slots=True)
class Query:
    """One row of a data set, as something to ask.

    `query_id` is a stable hash of split, messages, tools and reference: another prompt, model
    or N never changes it. `messages` are the row's own, before system prompt, template and examples.
    """

    query_id: str
    split: str
    question: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] | None
    reference: str | None
    """The ground truth, text or JSON; None where the row has none."""
    verifier: str
    """The name of the verifier that judges answers to this query."""
    source_id: str | None = None
    source_meta: str | None = None
    """Columns kept from the row (`dataset.keep`), as JSON."""
    row: dict[str, Any] = field(default_factory=dict)
    """The row's columns, for the prompt template."""


@dataclass(frozen=True, slots=True)
class Response:
    """One choice of a chat completion, with its share of the request's bill."""

    text: str | None
    """What the model said, or its refusal where `refused`; None where it said nothing."""
    refused: bool = False
    reasoning: str | None = None
    tool_calls: str | None = None
    """The calls as a JSON list, as the server sent them."""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str | None = None
    """The model's name as the server says it."""
    request_id: str | None = None
    latency_s: float | None = None
    created_at: datetime | None = None
    """When the response arrived, UTC."""
    attempts: int = 1
    seed: int | None = None
    """The seed that was sent."""
    run_id: str = ""
    """The run that drew it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the N answers to a query: a response, or the error that stands in its place."""

    index: int
    candidate_id: str
    """The store's key: the same draw in several runs has the same id."""
    response: Response | None
    error: str | None = None
    attempts: int = 0
    final: bool = True
    """False where another sitting may still get an answer (all retries used up)."""
    reused: bool = False
    """Drawn by another run; cost this one nothing."""
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one candidate."""

    verdict: str
    """One of VERDICTS."""
    reason: str = ""
    """One short line for a reader."""
    verifier: str = ""
    """Name and version of who judged."""
    answer: str | None = None
    """What was extracted, in canonical form."""
    score: float | None = None
    scorer: str | None = None
    error: str | None = None
    """The fault behind a verifier_error."""


@dataclass(frozen=True, slots=True)
class Judged:
    """All candidates of one query with their verdicts, each list in order of candidate index.

    `classes` gives equivalent answers of the query the same number; None where there is no
    answer, or where the verifier knows no equivalence (code, tool calls).
    """

    query: Query
    prompt: str
    """The messages sent, as JSON."""
    candidates: tuple[Candidate, ...]
    verdicts: tuple[Verdict, ...]
    classes: tuple[int | None, ...]


METADATA = (
    *("experiment", "status", "notes", "model", "num_candidates", "temperature", "splits", "total_records"),
    *("dataset", "dataset_revision", "base_url", "identity", "config_file", "overrides", "started_at", "generated_at"),
    *("run_id", "totals", "sandbox_level", "bon_hydra_version", "git_commit", "packages", "config_yaml"),
    "schema_version",
)
"""The names in a run file's metadata, in the order tables show them."""

SCHEMA_VERSION = 1
"""Of run files: raised when a column or a metadata key changes its meaning; readers refuse files of a newer one."""
