"""Names of tools as strict APIs take them: letters, digits, `_` and `-`, at most 64 of them.

Verifiers accept a call by either name, so nothing needs to be mapped back.
"""

from __future__ import annotations

import re
from typing import Any

PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def refused_for_names(message: str) -> bool:
    """Whether an API's error says that the name of a tool is not one it takes."""
    return bool(
        re.search(r"function\.name|(function|tool)s? names?\b", message)
        and re.search(r"pattern|match|invalid", message, re.I)
    )


def with_allowed_names(body: dict[str, Any]) -> dict[str, Any]:
    """A request's body in which each tool that must be renamed is, in `tools` and in the calls of earlier turns."""
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    renamed: dict[str, str] = {}
    taken = {name for name in names if PATTERN.fullmatch(name)}
    for name in names:
        if name not in renamed and not PATTERN.fullmatch(name):
            renamed[name] = _free(re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "_", taken)
            taken.add(renamed[name])
    if not renamed:
        return body
    tools = [{**tool, "function": _named(tool["function"], renamed)} for tool in body["tools"]]
    messages = [
        {**m, "tool_calls": [{**call, "function": _named(call["function"], renamed)} for call in m["tool_calls"]]}
        if m.get("tool_calls")
        else m
        for m in body["messages"]
    ]
    return {**body, "tools": tools, "messages": messages}


def _named(function: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    return {**function, "name": renamed.get(function["name"], function["name"])}


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free = f"{name[:60]}_{number}"
        number += 1
    return free
