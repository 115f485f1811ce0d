"""Answers that must be the reference, letter by letter."""

from __future__ import annotations

from bon_hydra.records import Verdict
from bon_hydra.verifiers.completion import Completion, Task, comparison, stored
from bon_hydra.verifiers.extraction import last_boxed


def judge(completion: Completion, task: Task) -> Verdict:
    """`pass` where the last box, or without one the whole stripped text, equals the stripped reference."""
    text = completion.final_text
    boxed = last_boxed(text)
    if boxed is None and completion.truncated:
        return Verdict("no_answer", "cut off before a final answer")
    if not text:
        return Verdict("no_answer", "empty answer")
    answer, way = (text, "text") if boxed is None else (boxed, "boxed")
    reference = (task.reference or "").strip()
    equal = answer == reference
    return Verdict("pass" if equal else "fail", comparison(way, answer, reference, equal), answer=stored(answer))
