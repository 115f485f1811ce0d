r"""nvidia/Nemotron-Post-Training-Dataset-v1, and whatever has its layout. A row of split math:

    {"uuid": "a3b0…", "license": "cc-by-4.0", "generator": "DeepSeek-R1-0528", "version": "v1", "category": "math", "reasoning": "on",
     "messages": [{"role": "user", "content": "Find the sum of …", "tool_calls": []},
                  {"role": "assistant", "content": "<think>…</think>… \\boxed{12}", "tool_calls": []}],
     "metadata": "{\"expected_answer\": \"12\", \"problem_source\": \"aops_c4_high_school_math\"}"}

and of split tool_calling, whose conversations have several turns:

    {"uuid": "9d61…", …, "category": "tool_calling", "reasoning": "off",
     "messages": [{"role": "system", "content": "", "tool_calls": []},
                  {"role": "user", "content": "Book a table for two in Oslo.", "tool_calls": []},
                  {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": "book_table", "arguments": "{\"city\": \"Oslo\", \"people\": 2}"}}]}, …],
     "metadata": "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"book_table\", \"parameters\": {…}}}]}"}

`uuid` names a solution, not a problem: many rows share one prompt. Code rows hold neither question nor tests; both are
joined from their source in a later version.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bon_hydra.queries.json_numbers import as_text, dumps, loads
from bon_hydra.queries.parts import Parts, Row, SkippedRow
from bon_hydra.records import Message

COLUMNS = ("messages", "metadata")
VERIFIER = {"math": "math", "stem": "choice", "tool_calling": "tool_calls", "chat": "none"}
"""The kinds of row there are, each with its verifier. A split has its kind's name; elsewhere `category` says it."""
LATER = ("code",)
FILES = {
    "math": "data/math-*",
    "code": "data/code-*",
    "tool_calling": "data/tool-*",
    "stem": "data/stem-*",
    "chat": "data/chat-*",
}
"""Which files hold which split, for a copy that has no README.md to say so."""


def parts(row: Row, split: str) -> Parts:
    """The prompt is everything before the first assistant turn; that turn, or the metadata, gives the reference."""
    kind = split if split in VERIFIER else str(row.get("category"))
    if kind not in VERIFIER:
        raise SkippedRow(f"neither split {split!r} nor category {kind!r} is one of {', '.join(VERIFIER)}")
    prompt, answer = _turns(row.get("messages"))
    tools: tuple[dict[str, Any], ...] | None = None
    reference: str | None = None
    if kind == "tool_calling":
        if answer is None:
            raise SkippedRow("no assistant turn, so no reference")
        tools = _tools(_metadata(row).get("tools"))
        reference = dumps(_calls(answer.get("tool_calls"), tools))
    elif kind != "chat":
        reference = as_text(_metadata(row).get("expected_answer"))
    return Parts(prompt, reference, VERIFIER[kind], tools=tools or None, source_id=as_text(row.get("uuid")))


def _turns(messages: Any) -> tuple[tuple[Message, ...], Message | None]:
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise SkippedRow("column 'messages' is not a list")
    prompt: list[Message] = []
    answer: Message | None = None
    for turn in messages:
        if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
            raise SkippedRow("a message without a role")
        if turn["role"] == "assistant":
            answer = dict(turn)
            break
        content = turn.get("content") or ""
        if not isinstance(content, str):
            raise SkippedRow("a message whose content is not text")
        if turn["role"] == "system" and not content.strip():
            continue
        prompt.append({"role": turn["role"], "content": content})
    if not any(m["role"] == "user" and m["content"].strip() for m in prompt):
        raise SkippedRow("no user turn before the first assistant turn")
    return tuple(prompt), answer


def _metadata(row: Row) -> Mapping[str, Any]:
    value = row.get("metadata")
    if isinstance(value, str):
        try:
            value = loads(value)
        except ValueError as error:
            raise SkippedRow(f"column 'metadata' is not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise SkippedRow("column 'metadata' is not a JSON object")
    return value


def _tools(definitions: Any) -> tuple[dict[str, Any], ...]:
    if isinstance(definitions, str):
        try:
            definitions = loads(definitions)
        except ValueError as error:
            raise SkippedRow(f"metadata.tools is not JSON: {error}") from None
    if not isinstance(definitions or [], list):
        raise SkippedRow("metadata.tools is not a list")
    tools: list[dict[str, Any]] = []
    names: set[str] = set()
    for definition in definitions or []:
        function = definition.get("function", definition) if isinstance(definition, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name:
            raise SkippedRow("a tool definition without a name")
        if name in names:
            raise SkippedRow(f"two tools are called {name!r}")
        names.add(name)
        tools.append(definition if "function" in definition else {"type": "function", "function": definition})
    return tuple(tools)


def _calls(calls: Any, tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reference calls as {name, arguments}, each one that its tool's definition allows."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") for tool in tools}
    if not isinstance(calls or [], list):
        raise SkippedRow("tool_calls is not a list")
    found: list[dict[str, Any]] = []
    for call in calls or []:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise SkippedRow("a reference call without a name")
        name, arguments = function["name"], function.get("arguments")
        if name not in schemas:
            raise SkippedRow(f"the reference calls {name!r}, which is not among the tools")
        if isinstance(arguments, str):
            try:
                arguments = loads(arguments) if arguments.strip() else {}
            except ValueError as error:
                raise SkippedRow(f"the arguments of the reference call {name!r} are not JSON: {error}") from None
        arguments = {} if arguments is None else arguments
        if not isinstance(arguments, dict):
            raise SkippedRow(f"the arguments of the reference call {name!r} are not an object")
        _allowed(name, arguments, schemas[name])
        found.append({"name": name, "arguments": arguments})
    return found


def _allowed(name: str, arguments: Mapping[str, Any], schema: Any) -> None:
    if not isinstance(schema, Mapping):
        return
    required = schema.get("required")
    for key in required if isinstance(required, list) else []:
        if key not in arguments:
            raise SkippedRow(f"the reference call {name!r} lacks its required argument {key!r}")
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and not schema.get("additionalProperties"):
        for key in arguments:
            if key not in properties:
                raise SkippedRow(f"the reference call {name!r} has an argument {key!r} that its tool does not know")
