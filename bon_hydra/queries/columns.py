"""Any data set, by naming its columns. With prompt: question, reference: answer, id: name, a row might be

    {"name": "capital-17", "question": "What is the capital of Norway?", "answer": "Oslo"}

and with messages: conversation, tools: functions, reference: calls

    {"conversation": [{"role": "user", "content": "Weather in Oslo?"}], "functions": [{"type": "function", ...}],
     "calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}

Lists and objects may also be JSON texts.
"""

from __future__ import annotations

from typing import Any

from bon_hydra.queries.json_numbers import as_text, loads
from bon_hydra.queries.parts import Parts, Row, SkippedRow, user
from bon_hydra.records import Message
from bon_hydra.schema import ColumnsConfig

VERIFIER = "exact"


def columns(names: ColumnsConfig) -> dict[str, str]:
    """Which column each key names, without those that name none."""
    keys = ("prompt", "messages", "reference", "id", "tools", "split")
    return {key: value for key in keys if (value := getattr(names, key))}


def parts(row: Row, names: ColumnsConfig) -> Parts:
    """The question from the prompt column, or the conversation up to its last turn that is not the assistant's."""
    if names.messages:
        messages = _conversation(_json(row.get(names.messages), names.messages), names.messages)
    else:
        messages = user(as_text(row.get(names.prompt or "")), names.prompt or "")
    reference = as_text(row.get(names.reference)) if names.reference else None
    tools = _json(row.get(names.tools), names.tools) if names.tools else None
    if tools and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise SkippedRow(f"column {names.tools!r} is not a list of tool definitions")
    return Parts(
        messages,
        reference,
        VERIFIER if names.reference else "none",
        tools=tuple(tools) if tools else None,
        source_id=as_text(row.get(names.id)) if names.id else None,
    )


def _json(value: Any, column: str) -> Any:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return loads(value)
    except ValueError as error:
        raise SkippedRow(f"column {column!r} is not JSON: {error}") from None


def _conversation(turns: Any, column: str) -> tuple[Message, ...]:
    if not isinstance(turns, list) or not all(isinstance(t, dict) and isinstance(t.get("role"), str) for t in turns):
        raise SkippedRow(f"column {column!r} is not a list of messages with a role")
    end = len(turns)
    while end and turns[end - 1]["role"] == "assistant":
        end -= 1
    messages = tuple({k: v for k, v in turn.items() if v is not None and v != []} for turn in turns[:end])
    if not any(m["role"] == "user" for m in messages):
        raise SkippedRow(f"no user turn in column {column!r}")
    return messages
