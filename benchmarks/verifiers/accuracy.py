"""False positives and false negatives on labelled answers.  python benchmarks/verifiers/accuracy.py [--short] [--show]

`math.jsonl` and `tool_calls.jsonl` beside this file hold the pairs: a reference, an answer as a model would write it,
and whether it is right, labelled by hand and independently of any verifier. A false positive is a wrong answer that
passes, a false negative a right one that does not. Beside this project's verifiers stands plain math-verify, `parse`
and `verify` as its README shows them, with the reference in `$…$`, without which it reads fewer of them.
`--short` takes every fourth pair; `--show` names each pair that was judged wrongly.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bon_hydra.verifiers import math as math_verifier
from bon_hydra.verifiers import tool_calls
from bon_hydra.verifiers.completion import Completion, Task, settled

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Pair:
    """A labelled answer."""

    form: str
    task: Task
    completion: Completion
    right: bool


def math_pairs() -> list[Pair]:
    """The labelled answers to math questions."""
    return [
        Pair(
            row["form"],
            Task(row["reference"]),
            Completion(row["answer"], finish_reason=row.get("finish_reason", "stop")),
            row["right"],
        )
        for row in _rows("math.jsonl")
    ]


def tool_call_pairs() -> list[Pair]:
    """The labelled tool calls; `calls` null stands for an answer in text."""
    return [
        Pair(
            row["form"],
            Task(json.dumps(row["reference"]), json.dumps(row["tools"])),
            Completion(row.get("text", ""), None if row["calls"] is None else json.dumps(row["calls"])),
            row["right"],
        )
        for row in _rows("tool_calls.jsonl")
    ]


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def ours(pair: Pair) -> bool:
    """Whether this project's math verifier passes the answer."""
    return (settled(pair.completion, pair.task) or math_verifier.judge(pair.completion, pair.task)).verdict == "pass"


def ours_of_calls(pair: Pair) -> bool:
    """Whether this project's verifier of tool calls passes the answer."""
    return tool_calls.judge(pair.completion, pair.task).verdict == "pass"


def plain_math_verify(pair: Pair) -> bool:
    """Whether math-verify passes the answer, used as its README shows."""
    from math_verify import parse, verify

    gold = parse(f"${pair.task.reference}$")
    return bool(verify(gold, parse(pair.completion.text)))


def plain_equality(pair: Pair) -> bool:
    """Whether the calls, in their order, are the reference's letter by letter; of several right values the first."""
    calls = [] if pair.completion.tool_calls is None else json.loads(pair.completion.tool_calls)
    made = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
    return made == [
        (call["name"], call["arguments"] if "arguments" in call else {k: v[0] for k, v in call["accepted"].items()})
        for call in json.loads(pair.task.reference or "")
    ]


def errors(pairs: list[Pair], passes: Callable[[Pair], bool], name: str = "") -> tuple[Counter[str], Counter[str]]:
    """Wrong answers that pass and right ones that do not, by form; with a name, each is shown on stderr."""
    false_positives: Counter[str] = Counter()
    false_negatives: Counter[str] = Counter()
    for pair in pairs:
        passed = passes(pair)
        if passed != pair.right:
            (false_positives if passed else false_negatives)[pair.form] += 1
            if name:
                kind = "false positive" if passed else "false negative"
                said = pair.completion.tool_calls or pair.completion.text
                print(f"{name}, {pair.form}, {kind}: {pair.task.reference} | {said}", file=sys.stderr)
    return false_positives, false_negatives


def table(pairs: list[Pair], verifiers: dict[str, Callable[[Pair], bool]], show: bool) -> str:
    """Errors by form, a verifier's false positives and false negatives side by side, as Markdown."""
    right, wrong = (Counter(pair.form for pair in pairs if pair.right is label) for label in (True, False))
    counts = [errors(pairs, passes, name if show else "") for name, passes in verifiers.items()]
    head = ["form", "right", "wrong", *(f"{name} {kind}" for name in verifiers for kind in ("FP", "FN"))]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for form in dict.fromkeys(pair.form for pair in pairs):
        figures = [right[form], wrong[form], *(kind[form] for pair_of in counts for kind in pair_of)]
        lines.append(f"| {form} | " + " | ".join(map(str, figures)) + " |")
    totals = [right.total(), wrong.total(), *(kind.total() for pair_of in counts for kind in pair_of)]
    lines.append("| **all** | " + " | ".join(f"**{total}**" for total in totals) + " |")
    return "\n".join(lines)


def main(step: int, show: bool) -> None:
    for library in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    print(table(math_pairs()[::step], {"ours": ours, "math-verify": plain_math_verify}, show))
    print()
    print(table(tool_call_pairs()[::step], {"ours": ours_of_calls, "plain equality": plain_equality}, show))
    print("\nFP: wrong answers that pass. FN: right answers that do not.")


if __name__ == "__main__":
    main(4 if "--short" in sys.argv else 1, "--show" in sys.argv)
