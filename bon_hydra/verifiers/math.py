"""Mathematical answers: the same number, formula, set, interval or word as the reference.

Strings and plain numbers settle most of it; what they leave open goes to math-verify.
Parsed SymPy objects are never printed, logged or pickled: turning one into text can take for ever.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

from bon_hydra.records import Verdict
from bon_hydra.verifiers import notation, numbers
from bon_hydra.verifiers.completion import Completion, Task, comparison, one_line, stored
from bon_hydra.verifiers.extraction import final_answer


class UnparsableReference(Exception):
    """The reference is no mathematics that can be read."""


_WORDS = re.compile(r"(?=.*[A-Za-z]{4}|(?:yes|no|odd|all|one|two|six|ten|not|nor|any|red|day)$)[A-Za-z]+(?:[ ',-]+[A-Za-z]+)*", re.IGNORECASE)
_LETTER = re.compile(r"\(?([A-Z])\)?|\(?([A-Z])[).:].*", re.DOTALL)
_BRACKETS = {"(": ")", "[": "]", r"\{": r"\}"}


def judge(completion: Completion, task: Task) -> Verdict:
    """`pass` where the final answer equals the reference; `unverifiable` where the reference cannot be read.

    The reason names the way the answer was found and both sides: "boxed 41, reference is 42".
    """
    final = final_answer(completion)
    if final is None:
        reason = "cut off before a final answer" if completion.truncated else "no final answer found"
        return Verdict("no_answer", reason)
    reference = task.reference or ""
    answer = stored(canonical(final.text))
    try:
        equal = _equals_reference(task, final.text)
    except UnparsableReference:
        return Verdict("unverifiable", one_line(f"the reference cannot be read as mathematics: {reference}"), answer=answer)
    shown = canonical(reference)
    if shown == answer and not equal:  # as in 5 m for 5 cm, where only the whole shows the difference
        return Verdict("fail", comparison(final.way, notation.normalised(final.text), notation.normalised(reference), equal), answer=answer)
    reason = comparison(final.way, answer, shown, equal)
    return Verdict("pass" if equal else "fail", reason, answer=answer)


def canonical(text: str) -> str:
    """An answer in the form the `answer` column shows: `42` for "x = 42.0", `1/2` for `\\dfrac12`."""
    plain = notation.normalised(text)
    number = _number(plain)
    return plain if number is None else numbers.canonical(number)


def same(a: str, b: str) -> bool:
    """Whether two answers of one query are equivalent; both in canonical form."""
    settled = _settled(a, b)
    return _verified(a, b) if settled is None else settled


def read_reference(task: Task) -> None:
    """Read and evaluate the reference without any answer: what it costs here is not an answer's fault."""
    _verified(notation.normalised(task.reference or ""), "1")


def _equals_reference(task: Task, answer: str) -> bool:
    reference, answer = notation.normalised(task.reference or ""), notation.normalised(answer)
    settled = _settled(reference, answer)
    if settled is not None:
        return settled
    if not task.readable or not _parsed(numbers.without_unit(reference)[0]):
        raise UnparsableReference
    return _verified(reference, answer)


def _number(plain: str) -> numbers.Number | None:
    number = numbers.number_in(plain)
    if number is None and (side := notation.right_hand_side(plain)) is not None:
        number = numbers.number_in(side)
    return number


def _settled(reference: str, answer: str) -> bool | None:
    """What normalised strings and plain numbers say of two answers; None where they leave it open."""
    if not reference or not answer:
        return False
    if reference == answer:
        return True
    if _WORDS.fullmatch(reference):
        return reference.casefold() == answer.strip("()").casefold()
    letter = _LETTER.fullmatch(reference)
    if letter and (chosen := _LETTER.fullmatch(answer)):
        return (letter[1] or letter[2]) == (chosen[1] or chosen[2])
    both_equations = "=" in reference and "=" in answer
    number = numbers.number_in(reference) if both_equations else _number(reference)
    other = numbers.number_in(answer) if both_equations else _number(answer)
    if number is not None and other is not None:
        return numbers.equal(number, other)
    if len(answer) > 2000 + 20 * len(reference) or _differently_bracketed(reference, answer):
        return False
    return None


def _differently_bracketed(a: str, b: str) -> bool:
    """A point, an interval and a set of the same numbers are three things; math-verify takes some for each other."""
    brackets = [next((left for left in _BRACKETS if text.startswith(left)), None) for text in (a, b)]
    closed = all(left is not None and text.endswith((")", "]", r"\}")) for left, text in zip(brackets, (a, b), strict=True))
    return closed and "," in a and "," in b and (brackets[0] != brackets[1] or a[-1] != b[-1])


@lru_cache(maxsize=256)
def _parsed(plain: str) -> list[Any]:
    """What math-verify reads in a normalised answer: SymPy objects, an empty list where it reads nothing."""
    from math_verify import LatexExtractionConfig, parse

    for library in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(library).setLevel(logging.ERROR)
    expressions: list[Any] = parse(
        notation.as_latex(plain),
        extraction_config=[LatexExtractionConfig()],
        fallback_mode="no_fallback",
        parsing_timeout=None,  # type: ignore[arg-type]  # ours is on: see worker
    )
    return expressions


def _verified(reference: str, answer: str) -> bool:
    from math_verify import verify

    reference, unit = numbers.without_unit(reference)
    answer, other_unit = numbers.without_unit(answer)
    if numbers.unlike(unit, other_unit):
        return False
    gold, target = _parsed(reference), _parsed(answer)
    return bool(gold and target and verify(gold, target, timeout_seconds=None, allow_set_relation_comp=True))
