"""The verifiers by name. Light: a judge's module, and what it imports, is loaded where it judges.

Every judge has one signature, `judge(completion: Completion, task: Task) -> Verdict`, and is
pure; `pool.Judges` runs it in a process that may be killed.
"""

from __future__ import annotations

import difflib
from functools import cache

VERIFIERS = {
    "math": "bon_hydra.verifiers.math",
    "choice": "bon_hydra.verifiers.choice",
    "exact": "bon_hydra.verifiers.exact",
    "tool_calls": "bon_hydra.verifiers.tool_calls",
    "none": "bon_hydra.verifiers.none",
}
"""Name of a verifier -> the module that holds its `judge`."""

WITHOUT_CLASSES = frozenset({"tool_calls", "none"})
"""Verifiers that know no equivalence between the answers of one query."""

_REVISIONS = {"math": 1, "choice": 1, "exact": 1, "tool_calls": 1, "none": 1}
"""Raised whenever a verifier may judge a stored answer otherwise than before."""

_LIBRARIES = {"math": "math-verify"}
"""The distribution whose version is part of a verifier's identity."""


class UnknownVerifier(KeyError):
    """No verifier has this name; the message says which do."""

    def __str__(self) -> str:
        return str(self.args[0])


@cache
def verifier_of(name: str) -> str:
    """Name and version for the `verifier` column, such as "math 1 (math-verify 0.9.0)".

    Raises UnknownVerifier, with the nearest known name in its message.
    """
    if name not in VERIFIERS:
        nearest = difflib.get_close_matches(name, VERIFIERS, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UnknownVerifier(f"there is no verifier {name!r}, only {', '.join(VERIFIERS)}{hint}")
    stamp = f"{name} {_REVISIONS[name]}"
    if name not in _LIBRARIES:
        return stamp
    from importlib.metadata import version

    return f"{stamp} ({_LIBRARIES[name]} {version(_LIBRARIES[name])})"
