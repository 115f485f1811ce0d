"""No verifier: answers are kept and never judged."""

from __future__ import annotations

from bon_hydra.records import Verdict
from bon_hydra.verifiers.completion import Completion, Task


def judge(completion: Completion, task: Task) -> Verdict:  # noqa: ARG001 - every judge has this signature
    """Always `unverifiable`."""
    return Verdict("unverifiable", "not judged")
