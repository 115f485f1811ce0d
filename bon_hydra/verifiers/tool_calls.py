"""Tool calls after the rules of the Berkeley Function Calling Leaderboard (BFCL, its AST checker).

Every required parameter, no unknown one, the types of the schema, strings compared without case,
spaces and `,./-_*^`, parallel calls in any order, and no call where none is right. Stricter than BFCL
where its comparison loses the meaning: strings that are numbers are compared as numbers.
Looser where leaving out says the same: an optional argument equal to its schema's default.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from bon_hydra.records import Verdict
from bon_hydra.verifiers.arguments import accepts, equal, has_type, properties_of, types_of
from bon_hydra.verifiers.completion import Completion, Task, one_line, quoted, stored


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool."""

    name: str
    arguments: dict[str, Any]
    accepted: bool = False
    """`arguments` are of a reference that lists for each of them the values that are right, in BFCL's way: "" among
    them says that it may be left out, and the keys of an object inside list their values likewise."""


class Malformed(ValueError):
    """Calls or tool definitions that cannot be read; the message is a reason."""


_NO_PARAMETERS: dict[str, Any] = {}


def judge(completion: Completion, task: Task) -> Verdict:
    """`pass` where the structured calls are the reference's, in any order.

    The reference is a JSON list of `{"name", "arguments"}` (arguments an object or a JSON string), or of
    `{"name", "accepted"}` with a list of accepted values for each argument; an
    empty list means that no call is right. A reference or tools that cannot be read are `unverifiable`.
    Calls written as text do not count. The reason says what differs.
    """
    try:
        expected = read_calls(task.reference or "", reference=True)
        schemas = read_schemas(task.tools)
    except Malformed as problem:
        return Verdict("unverifiable", one_line(f"the reference cannot be used: {problem}"))
    if (unusable := _unusable(expected, schemas)) is not None:
        return Verdict("unverifiable", one_line(unusable))
    if completion.tool_calls is None:
        if completion.truncated:
            return Verdict("no_answer", "cut off before a call")
        if expected:
            return Verdict("fail", one_line(f"no call, expected {_named(expected)}"))
        return Verdict("pass", "no call, as expected")
    try:
        calls = read_calls(completion.tool_calls)
    except Malformed as problem:
        if completion.truncated:
            return Verdict("no_answer", "cut off in the middle of a call")
        return Verdict("fail", one_line(str(problem)))
    answer = stored(json.dumps([{"name": call.name, "arguments": call.arguments} for call in calls], sort_keys=True))
    difference = _difference(calls, expected, schemas)
    if difference is None:
        return Verdict("pass", one_line(f"called {_named(calls)}"), answer=answer)
    if completion.truncated and len(calls) < len(expected):
        return Verdict("no_answer", "cut off before the last call", answer=answer)
    return Verdict("fail", one_line(difference), answer=answer)


def _unusable(expected: list[Call], schemas: dict[str, dict[str, Any]] | None) -> str | None:
    """Why no call could ever be right; None where one can."""
    if schemas is None:
        return None
    for call in expected:
        if _schema_of(call.name, schemas) is None:
            return f"the reference calls {quoted(call.name)}, which is no tool"
        if not call.accepted and (broken := _broken_schema(call, schemas)) is not None:
            return f"the reference breaks its own schema: {broken}"
    return None


def read_calls(text: str, *, reference: bool = False) -> list[Call]:
    """Calls from JSON: a list of `{"name", "arguments"}`, bare or each inside OpenAI's `{"function": …}`.

    Of a reference, `accepted` may take the place of `arguments`.

    Raises Malformed, naming what cannot be read.
    """
    listed = _json(text, "the calls are")
    if not isinstance(listed, list):
        raise Malformed("the calls are not a JSON list")
    return [_accepting(item) if reference and _lists_accepted(item) else _call(item) for item in listed]


def _lists_accepted(item: Any) -> bool:
    return isinstance(item, dict) and "accepted" in item and "arguments" not in item


def _accepting(item: dict[str, Any]) -> Call:
    name, accepted = item.get("name"), item["accepted"]
    if not isinstance(name, str) or not name:
        raise Malformed("a call without a name")
    if not isinstance(accepted, dict) or not all(isinstance(values, list) for values in accepted.values()):
        raise Malformed(f"the arguments of {quoted(name)} do not list their accepted values")
    return Call(name, accepted, accepted=True)


def _call(item: Any) -> Call:
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(name := function.get("name"), str) or not name:
        raise Malformed("a call without a name")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _json(arguments, f"the arguments of {quoted(name)} are") if arguments.strip() else {}
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise Malformed(f"the arguments of {quoted(name)} are not a JSON object")
    return Call(name, arguments)


def read_schemas(tools: str | None) -> dict[str, dict[str, Any]] | None:
    """Tool name -> its parameters' JSON Schema; None where no tools are given.

    Raises Malformed for a list that is no JSON, or a tool without a name.
    """
    if tools is None:
        return None
    listed = _json(tools, "the tools are")
    if not isinstance(listed, list):
        raise Malformed("the tools are not a JSON list")
    schemas = {}
    for tool in listed:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Malformed("a tool without a name")
        parameters = function.get("parameters")
        schemas[function["name"]] = parameters if isinstance(parameters, dict) else _NO_PARAMETERS
    return schemas


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed(f"{what} not JSON: {quoted(text)}") from None


def _difference(calls: list[Call], expected: list[Call], schemas: dict[str, dict[str, Any]] | None) -> str | None:
    """What is wrong with the calls, None where each expected call is made exactly once."""
    if not expected:
        return f"called {_named(calls)}, expected no call"
    if schemas is not None:
        for call in calls:
            if (problem := _broken_schema(call, schemas)) is not None:
                return problem
    if len(calls) != len(expected):
        return f"calls: {len(calls)} ({_named(calls)}), expected {len(expected)} ({_named(expected)})"
    differences = [[_call_difference(call, wanted, schemas) for wanted in expected] for call in calls]
    unmatched = _unmatched([[difference is None for difference in row] for row in differences])
    if unmatched is None:
        return None
    name = calls[unmatched].name
    closest = next((i for i, wanted in enumerate(expected) if _same_name(name, wanted.name, schemas)), 0)
    return differences[unmatched][closest] or f"one call of {quoted(name)} too many"


def _unmatched(fits: list[list[bool]]) -> int | None:
    """The first call that no one-to-one assignment to the expected ones can hold, None where all fit (Kuhn 1955)."""
    taken_by: dict[int, int] = {}

    def place(call: int, seen: set[int]) -> bool:
        for wanted, fit in enumerate(fits[call]):
            if fit and wanted not in seen:
                seen.add(wanted)
                if wanted not in taken_by or place(taken_by[wanted], seen):
                    taken_by[wanted] = call
                    return True
        return False

    return next((call for call in range(len(fits)) if not place(call, set())), None)


def _broken_schema(call: Call, schemas: dict[str, dict[str, Any]]) -> str | None:
    schema = _schema_of(call.name, schemas)
    if schema is None:
        return f"called {quoted(call.name)}, which is not among the tools"
    properties = properties_of(schema)
    for parameter in schema.get("required") or ():
        if parameter not in call.arguments:
            return f"{call.name}: required {parameter} is missing"
    for parameter, value in call.arguments.items():
        if parameter not in properties:
            if properties or schema.get("additionalProperties") is not True:
                return f"{call.name}: there is no parameter {quoted(parameter)}"
        elif not has_type(value, properties[parameter]):
            wanted = types_of(properties[parameter])
            return f"{call.name}: {parameter} is {quoted(_shown(value))}, expected type {wanted}"
        elif (
            value is not None
            and isinstance(options := properties[parameter].get("enum"), list)
            and not accepts(value, options)
        ):
            return f"{call.name}: {parameter} is {quoted(_shown(value))}, expected one of {quoted(_shown(options))}"
    return None


def _call_difference(call: Call, expected: Call, schemas: dict[str, dict[str, Any]] | None) -> str | None:
    if not _same_name(call.name, expected.name, schemas):
        return f"called {quoted(call.name)}, expected {quoted(expected.name)}"
    properties = properties_of((schemas and _schema_of(expected.name, schemas)) or {})
    for parameter in {**expected.arguments, **call.arguments}:
        default = properties.get(parameter, {})
        wanted: Any = expected.arguments.get(parameter)
        right = accepts if expected.accepted else equal
        if parameter not in call.arguments:
            if (expected.accepted and "" in wanted) or ("default" in default and right(default["default"], wanted)):
                continue
            return f"{call.name}: {parameter} is missing, expected {_wanted(wanted, expected)}"
        value = call.arguments[parameter]
        if parameter not in expected.arguments:
            if "default" in default and equal(value, default["default"]):
                continue
            return f"{call.name}: {parameter} is {quoted(_shown(value))}, expected to be left out"
        if not right(value, wanted):
            return f"{call.name}: {parameter} is {quoted(_shown(value))}, expected {_wanted(wanted, expected)}"
    return None


def _wanted(wanted: Any, expected: Call) -> str:
    """What an argument should be, for a reason."""
    if not expected.accepted:
        return quoted(_shown(wanted))
    values = [value for value in wanted if value != ""]
    return quoted(_shown(values[0])) if len(values) == 1 else f"one of {quoted(_shown(values))}"


def _same_name(a: str, b: str, schemas: dict[str, dict[str, Any]] | None) -> bool:
    if schemas is None:
        return _sendable(a) == _sendable(b)
    return _tool_name(a, schemas) == _tool_name(b, schemas)


def _sendable(name: str) -> str:
    """A name as APIs take it that refuse everything but letters, digits, _ and -."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _tool_name(name: str, schemas: dict[str, dict[str, Any]]) -> str:
    """The tool that is meant: APIs refuse dots in names, so that `math.hypot` comes back as `math_hypot`."""
    if name in schemas:
        return name
    return next((known for known in schemas if _sendable(known) == _sendable(name)), name)


def _schema_of(name: str, schemas: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    return schemas.get(_tool_name(name, schemas))


def _named(calls: list[Call]) -> str:
    return ", ".join(quoted(call.name) for call in calls)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
