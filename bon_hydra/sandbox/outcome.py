"""What judging a program says, and which tests can be judged at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERDICTS = frozenset({"pass", "fail", "timeout", "unverifiable", "verifier_error"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one program.

    `verdict`: `pass`, `fail`, `timeout`, `unverifiable` (the tests are at fault) or `verifier_error` (we are).
    `reason`: one short line, about the first test that was not passed; empty for `pass`.
    `passed` of `total` tests; `error` is for the log.
    """

    verdict: str
    reason: str
    passed: int
    total: int
    error: str | None = None


def malformed(tests: Mapping[str, Any]) -> str | None:
    """What is wrong with the form of `tests`; None when they can be tried."""
    kind = tests.get("kind")
    match kind:
        case "check":
            wanted: dict[str, type | tuple[type, ...]] = {"test": str, "entry_point": str}
        case "asserts":
            wanted = {"asserts": list}
        case "calls":
            wanted = {"fn_name": str, "inputs": list, "outputs": list}
        case "stdio":
            wanted = {"inputs": list, "outputs": list}
        case _:
            return f"tests of unknown kind {kind!r}"
    for key, form in wanted.items():
        if not isinstance(tests.get(key), form):
            return f"tests of kind {kind} without {key}"
    if not isinstance(tests.get("setup") or "", str) or not isinstance(tests.get("entry_point") or "", str):
        return "setup or entry_point is no text"
    if kind == "asserts" and not all(isinstance(text, str) for text in tests["asserts"]):
        return "an assert is no text"
    if kind in ("calls", "stdio") and len(tests["inputs"]) != len(tests["outputs"]):
        return f"{len(tests['inputs'])} inputs but {len(tests['outputs'])} outputs"
    if kind == "stdio" and not _texts(tests["inputs"], tests["outputs"]):
        return "inputs or outputs are no texts"
    if not tests.get("test") and not tests.get("asserts") and not tests.get("inputs"):
        return "no tests"
    return None


def _texts(inputs: list[Any], outputs: list[Any]) -> bool:
    return all(isinstance(text, str) for text in inputs) and all(
        isinstance(text, str) or (isinstance(text, list) and text and all(isinstance(one, str) for one in text))
        for text in outputs
    )
