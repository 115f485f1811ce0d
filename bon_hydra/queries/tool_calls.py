"""Tool calling from a data set of one's own. A row has messages, or only a prompt:

    {"messages": [{"role": "user", "content": "Weather in Oslo?"}],
     "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {…}}}],
     "tool_calls": [{"name": "get_weather", "arguments": {"city": "Oslo"}}]}

or is laid out as in the Berkeley Function Calling Leaderboard (BFCL), where each argument lists its accepted values:

    {"id": "simple_0", "question": [[{"role": "user", "content": "Area of a triangle of base 10, height 5?"}]],
     "function": [{"name": "calc.area", "parameters": {"type": "dict", "properties": {"base": {"type": "float"}, …}}}],
     "ground_truth": [{"calc.area": {"base": [10], "height": [5], "unit": ["units", ""]}}]}

Lists and objects may also be JSON texts. No calls in the list means that no call is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bon_hydra.queries import columns as named_columns
from bon_hydra.queries.json_numbers import as_text, dumps, loads
from bon_hydra.queries.parts import Parts, Row, SkippedRow
from bon_hydra.schema import ColumnsConfig

COLUMNS = (("messages", "prompt", "question"), ("tools", "function"), ("tool_calls", "ground_truth"))
VERIFIER = "tool_calls"

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
"""BFCL's words for JSON Schema's types, as its own harness translates them."""


def parts(row: Row) -> Parts:
    """Messages up to the assistant's last turns, tools, and the reference calls, each allowed by its tool."""
    ours = row.get("tool_calls") is not None or row.get("ground_truth") is None
    asked = _asked(row, next((column for column in COLUMNS[0] if row.get(column) is not None), "prompt"))
    if row.get("tools") is not None:
        tools = tools_of(row["tools"], "column 'tools'")
    else:
        tools = tuple(_translated(tool) for tool in tools_of(row.get("function"), "column 'function'"))
    reference = _ours(row.get("tool_calls"), tools) if ours else _accepted(row["ground_truth"], tools)
    return Parts(asked.messages, reference, VERIFIER, tools=tools or None, source_id=as_text(row.get("id")))


def tools_of(definitions: Any, where: str) -> tuple[dict[str, Any], ...]:
    """Tool definitions in OpenAI's form, from a list of them or of bare functions, from one alone, or from JSON.

    Raises:
        SkippedRow: no such list, a tool without a name, or two with one name.
    """
    definitions = _loaded(definitions, where)
    if isinstance(definitions, dict):
        definitions = [definitions]
    if not isinstance(definitions or [], list):
        raise SkippedRow(f"{where} is not a list")
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


def calls_of(calls: Any, tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reference calls as {name, arguments}, each one that its tool's definition allows.

    Raises:
        SkippedRow: a call that cannot be read, of no tool there is, or with other arguments than its tool takes.
    """
    if not isinstance(calls or [], list):
        raise SkippedRow("tool_calls is not a list")
    found: list[dict[str, Any]] = []
    for call in calls or []:
        function = call.get("function") or call if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise SkippedRow("a reference call without a name")
        name, arguments = function["name"], function.get("arguments")
        parameters = _parameters(name, tools)
        if isinstance(arguments, str):
            try:
                arguments = loads(arguments) if arguments.strip() else {}
            except ValueError as error:
                raise SkippedRow(f"the arguments of the reference call {name!r} are not JSON: {error}") from None
        arguments = {} if arguments is None else arguments
        if not isinstance(arguments, dict):
            raise SkippedRow(f"the arguments of the reference call {name!r} are not an object")
        _allowed(name, arguments, parameters)
        found.append({"name": name, "arguments": arguments})
    return found


def _loaded(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return loads(value) if value.strip() else []
    except ValueError as error:
        raise SkippedRow(f"{where} is not JSON: {error}") from None


def _asked(row: Row, column: str) -> Parts:
    """The messages of a column: a conversation, of BFCL's list of turns the first, or a prompt."""
    value = row.get(column)
    if column != "prompt" and isinstance(value, str) and value.lstrip().startswith("["):
        value = _loaded(value, f"column {column!r}")
    if not isinstance(value, list):
        return named_columns.parts(row, ColumnsConfig(prompt=column))
    turns = value[0] if value and isinstance(value[0], list) else value
    return named_columns.parts({column: turns}, ColumnsConfig(messages=column))


def _ours(calls: Any, tools: Sequence[dict[str, Any]]) -> str | None:
    calls = _loaded(calls, "column 'tool_calls'")
    return None if calls is None else dumps(calls_of(calls, tools))


def _accepted(truth: Any, tools: Sequence[dict[str, Any]]) -> str:
    """BFCL's ground truth as a list of {name, accepted}, where `accepted` maps arguments to their accepted values."""
    truth = _loaded(truth, "column 'ground_truth'")
    if not isinstance(truth, list):
        raise SkippedRow("column 'ground_truth' is not a list of calls")
    found = []
    for call in truth:
        named = _given(call)
        if len(named) != 1:
            raise SkippedRow("a call in 'ground_truth' that is not {name: {argument: [accepted values]}}")
        ((name, values),) = named.items()
        values = _given(values)
        if not all(isinstance(each, list) and each for each in values.values()):
            raise SkippedRow(f"the arguments of {name!r} in 'ground_truth' do not list their accepted values")
        _allowed(name, values, _parameters(name, tools))
        found.append({"name": name, "accepted": values})
    return dumps(found)


def _given(value: Any) -> dict[str, Any]:
    """What an object says; tables give every object of a column all the keys of the others, as nulls."""
    if not isinstance(value, Mapping):
        raise SkippedRow("a call in 'ground_truth' that is not {name: {argument: [accepted values]}}")
    return {key: each for key, each in value.items() if each is not None}


def _translated(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool of BFCL as APIs take it, after its own harness: JSON Schema's types, no dots in the name."""
    function = tool["function"]
    parameters = function.get("parameters")
    changed = {**function, "name": function["name"].replace(".", "_")}
    if isinstance(parameters, Mapping):
        changed["parameters"] = _schema(parameters)
    return {**tool, "function": changed}


def _schema(rule: Any) -> Any:
    if isinstance(rule, list):
        return [_schema(each) for each in rule]
    if not isinstance(rule, Mapping):
        return rule
    changed = dict(rule)
    if isinstance(rule.get("type"), str):
        changed["type"] = _TYPES.get(rule["type"].lower(), rule["type"])
    if isinstance(rule.get("properties"), Mapping):
        changed["properties"] = {name: _schema(each) for name, each in rule["properties"].items()}
    for key in ("items", "anyOf", "oneOf", "allOf", "additionalProperties"):
        if key in rule:
            changed[key] = _schema(rule[key])
    return changed


def _parameters(name: str, tools: Sequence[dict[str, Any]]) -> Any:
    """The schema of the tool that a reference call names, with dots or with the underscores in their place."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") for tool in tools}
    known = name if name in schemas else str(name).replace(".", "_")
    if known not in schemas:
        raise SkippedRow(f"the reference calls {name!r}, which is not among the tools")
    return schemas[known]


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
