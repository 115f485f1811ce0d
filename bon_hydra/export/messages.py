"""A run's row as chat messages that a trainer takes: the prompt, the tools, and the candidate's answer.

Calls have their arguments as objects, as chat templates want them. No message holds a null.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bon_hydra.records import Message
from bon_hydra.tool_names import with_allowed_names
from bon_hydra.verifiers.completion import Completion
from bon_hydra.verifiers.tool_calls import Malformed, read_calls

Tools = list[dict[str, Any]]


class Unusable(Exception):
    """This row cannot be a row of training data; the message says why, in the words that are counted."""


def read_prompt(text: str | None) -> list[Message]:
    """The messages that were sent, from column `prompt`."""
    messages = _json(text or "", "prompts that are no list of messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise Unusable("prompts that are no list of messages")
    return [_sent(message) for message in messages]


def _sent(message: Message) -> Message:
    given = {key: value for key, value in message.items() if value is not None}
    sent = {"role": given.pop("role"), "content": given.pop("content", ""), **given}
    if calls := given.get("tool_calls"):
        sent["tool_calls"] = [{**call, "function": _with_object(call["function"])} for call in calls]
    return sent


def _with_object(function: dict[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = _json(arguments, "prompts with a call whose arguments are no JSON object")
    return {**function, "arguments": arguments}


def read_tools(text: str | None) -> Tools | None:
    """The tool definitions that were sent, from column `tools`; None where there were none."""
    tools = _json(text, "prompts whose tools are no list") if text else None
    if tools and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise Unusable("prompts whose tools are no list")
    return tools or None


def answer(row: dict[str, Any], tools: Tools | None, reasoning: str) -> Message:
    """The candidate's turn: `{"role": "assistant", "content", "tool_calls"}`, the last only where there are calls.

    With `reasoning="drop"` the content is what the verifier looked at, after all thinking; with `think` the
    thinking stands before it in `<think>` tags, also where the server returned it apart.
    """
    message: Message = {"role": "assistant", "content": _text(row, reasoning)}
    if (row["tool_calls"] or "").strip() not in ("", "[]", "null"):
        try:
            calls = read_calls(row["tool_calls"])
        except Malformed:
            raise Unusable("calls whose arguments are no JSON object") from None
        names = _given_names(tools or [])
        message["tool_calls"] = [
            {"type": "function", "function": {"name": names.get(call.name, call.name), "arguments": call.arguments}}
            for call in calls
        ]
    if not message["content"] and "tool_calls" not in message:
        raise Unusable("empty answers")
    return message


def _text(row: dict[str, Any], reasoning: str) -> str:
    text = (row["response"] or "").strip()
    if reasoning == "drop":
        return Completion(text, finish_reason=row["finish_reason"]).final_text
    thought, closed, _ = text.partition("</think>")
    if closed:
        return text if "<think>" in thought else f"<think>\n{text}"  # some templates open it in the prompt
    apart = (row["reasoning"] or "").strip()
    return f"<think>\n{apart}\n</think>\n\n{text}" if apart else text


def _given_names(tools: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Name as a strict API was told it -> name in `tools`, where the two differ."""
    try:
        told = with_allowed_names({"tools": list(tools), "messages": []})["tools"]
        return {
            new["function"]["name"]: old["function"]["name"]
            for new, old in zip(told, tools, strict=True)
            if new["function"]["name"] != old["function"]["name"]
        }
    except (KeyError, TypeError):
        raise Unusable("prompts whose tools are no list of functions") from None


def _json(text: str, otherwise: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unusable(otherwise) from None
