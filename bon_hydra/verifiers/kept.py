"""Verdicts that were given before: what determines one, and how it is written down.

A verdict is kept under the answer, what it was judged against, the verifier with its version and, for code, the
limits. Verdicts of verifiers that others bring are not kept (their code may change under one version), nor those
that say more of the machine than of the answer (a timeout, a fault of ours).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Protocol

import orjson

from bon_hydra.records import Verdict
from bon_hydra.schema import SandboxConfig
from bon_hydra.verifiers import SANDBOXED, VERIFIERS, verifier_of
from bon_hydra.verifiers.completion import Completion, Task

ANSWER = tuple(field.name for field in fields(Completion))
KEPT = frozenset({"pass", "fail", "no_answer", "unverifiable"})


class Keeper(Protocol):
    """Who keeps them: the candidate store."""

    async def verdicts(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What is kept under each key."""

    async def keep_verdicts(self, verdicts: Sequence[tuple[bytes, bytes]]) -> None:
        """Keeps (key, verdict) pairs."""


def verdict_keys(
    name: str, task: Task, sandbox: SandboxConfig, completions: Sequence[Completion]
) -> list[bytes] | None:
    """A key of 16 bytes for each answer; None where this verifier's verdicts are not kept."""
    if name not in VERIFIERS:
        return None
    limits = [sandbox.cpu_s, sandbox.memory_mb, sys.version_info[:2]] if name in SANDBOXED else None
    base = _digest([verifier_of(name), task.reference, task.tools, task.question, limits])
    answers = ({field: getattr(completion, field) for field in ANSWER} for completion in completions)
    return [_digest([base.hex(), answer])[:16] for answer in answers]


def classes_key(name: str, answers: Sequence[str]) -> bytes | None:
    """The key of which of these different answers are equivalent; None where that is not kept."""
    return _digest(["classes", verifier_of(name), list(answers)])[:16] if name in VERIFIERS else None


def packed(verdict: Verdict) -> bytes:
    """A verdict as it is kept, without the verifier's name, which is in its key."""
    return orjson.dumps([verdict.verdict, verdict.reason, verdict.answer, verdict.score, verdict.scorer])


def unpacked(data: bytes, verifier: str) -> Verdict:
    """The verdict of `packed`, by this verifier."""
    verdict, reason, answer, score, scorer = orjson.loads(data)
    return Verdict(verdict, reason, verifier, answer, score, scorer)


def _digest(value: Any) -> bytes:
    try:
        text = orjson.dumps(value)
    except TypeError:  # half of a surrogate pair
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()
