"""What a format takes out of a row, before it becomes a Query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bon_hydra.records import Message

Row = Mapping[str, Any]


class SkippedRow(Exception):
    """A row that cannot be asked; the message is the reason, for the log and the summary."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The row's own messages and tools, its reference and the verifier that its format gives it."""

    messages: tuple[Message, ...]
    reference: str | None
    verifier: str
    tools: tuple[dict[str, Any], ...] | None = None
    source_id: str | None = None


def user(text: Any, column: str) -> tuple[Message, ...]:
    """One user message.

    Raises:
        SkippedRow: there is no text in the column.
    """
    if not isinstance(text, str) or not text.strip():
        raise SkippedRow(f"no text in column {column!r}")
    return ({"role": "user", "content": text},)


def question(messages: Sequence[Message]) -> str:
    """The text of the last user message; parts of a multi-part message on lines of their own."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            return str(content or "")
    return ""
