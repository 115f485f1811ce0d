"""The verifiers by name. Light: a judge's module, and what it imports, is loaded where it judges.

Every judge has one signature, `judge(completion: Completion, task: Task) -> Verdict`, and is pure; `pool.Judges` runs
it in a process that may be killed. Other distributions bring verifiers of their own by the entry point group
`bon_hydra.verifiers`, whose names stand for such a function. The judge of a verifier that runs what the model wrote
says only what can be said before; the pool then has the program run in the sandbox.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

VERIFIERS = {
    "math": "bon_hydra.verifiers.math",
    "choice": "bon_hydra.verifiers.choice",
    "exact": "bon_hydra.verifiers.exact",
    "tool_calls": "bon_hydra.verifiers.tool_calls",
    "code": "bon_hydra.verifiers.code",
    "none": "bon_hydra.verifiers.none",
}
"""Name of a verifier -> the module that holds its `judge`."""

WITHOUT_CLASSES = frozenset({"tool_calls", "code", "none"})
"""Verifiers that know no equivalence between the answers of one query."""

SANDBOXED = frozenset({"code"})
"""Verifiers that run what the model wrote."""

_REVISIONS = {"math": 2, "choice": 1, "exact": 1, "tool_calls": 2, "code": 1, "none": 1}
"""Raised whenever a verifier may judge a stored answer otherwise than before."""

_LIBRARIES = {"math": "math-verify"}
"""The distribution whose version is part of a verifier's identity."""


class UnknownVerifier(KeyError):
    """No verifier has this name; the message says which do."""

    def __str__(self) -> str:
        return str(self.args[0])


@cache
def plug_ins() -> dict[str, EntryPoint]:
    """The verifiers that installed distributions bring; a name of ours stays ours."""
    from importlib.metadata import entry_points

    return {found.name: found for found in entry_points(group="bon_hydra.verifiers") if found.name not in VERIFIERS}


def judge_of(name: str) -> Callable[..., Any]:
    """The function `judge(completion, task) -> Verdict` of a verifier; imports what it needs."""
    if name in VERIFIERS:
        judge: Callable[..., Any] = import_module(VERIFIERS[name]).judge
        return judge
    loaded: Callable[..., Any] = plug_ins()[name].load()
    return loaded


@cache
def verifier_of(name: str) -> str:
    """Name and version for the `verifier` column, such as "math 1 (math-verify 0.9.0)".

    Raises UnknownVerifier, with the nearest known name in its message.
    """
    if name not in VERIFIERS:
        if found := plug_ins().get(name):
            return f"{name} ({found.dist.name} {found.dist.version})" if found.dist else name
        known = [*VERIFIERS, *plug_ins()]
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UnknownVerifier(f"there is no verifier {name!r}, only {', '.join(known)}{hint}")
    stamp = f"{name} {_REVISIONS[name]}"
    if name not in _LIBRARIES:
        return stamp
    from importlib.metadata import version

    return f"{stamp} ({_LIBRARIES[name]} {version(_LIBRARIES[name])})"
