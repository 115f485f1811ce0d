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
from bon_hydra.verifiers import notation, numbers, units
from bon_hydra.verifiers.completion import Completion, Task, comparison, one_line, stored
from bon_hydra.verifiers.extraction import final_answer


class UnreadableReference(Exception):
    """The reference cannot be compared as mathematics; the message is a reason."""


_WORDS = re.compile(
    r"(?=.*[A-Za-z]{4}|(?:yes|no|odd|all|one|two|six|ten)$)[A-Za-z]+(?:[ ',-]+[A-Za-z]+)*", re.IGNORECASE
)
_LETTER = re.compile(r"\(?([A-Z])\)?|\(?([A-Z])[).:].*", re.DOTALL)
_BRACKETED = re.compile(r"(\(|\[|\\\{)[^()\[\]]*,[^()\[\]]*(\)|\]|\\\})")


def judge(completion: Completion, task: Task) -> Verdict:
    """`pass` where the final answer equals the reference; `unverifiable` where the reference cannot be read.

    The reason names the way the answer was found and both sides: "boxed 41, reference is 42".
    """
    final = final_answer(completion)
    if final is None:
        reason = "cut off before a final answer" if completion.truncated else "no final answer found"
        return Verdict("no_answer", reason)
    plain, reference = notation.normalised(final.text), notation.normalised(task.reference or "")
    answer = stored(_canonical(plain))
    try:
        equal = _equals_reference(task, reference, plain)
    except UnreadableReference as problem:
        return Verdict("unverifiable", one_line(str(problem)), answer=answer)
    sides = answer, _canonical(reference)
    if sides[0] == sides[1] and not equal:  # only the whole shows the difference between 5 m and 5 cm
        sides = plain, reference
    return Verdict("pass" if equal else "fail", comparison(final.way, *sides, equal), answer=answer)


def canonical(text: str) -> str:
    """An answer in the form the `answer` column shows: `42` for "x = 42.0", `1/2` for `\\dfrac12`."""
    return _canonical(notation.normalised(text))


def _canonical(plain: str) -> str:
    number = _number(plain)
    return plain if number is None else numbers.canonical(number)


def same(a: str, b: str) -> bool:
    """Whether two answers of one query are equivalent; both in canonical form."""
    settled = _settled(a, b)
    return _verified(a, b) if settled is None else settled


def read_reference(task: Task) -> None:
    """Read and evaluate the reference without any answer: what it costs here is not an answer's fault."""
    _verified(notation.normalised(task.reference or ""), "1")


def _equals_reference(task: Task, reference: str, answer: str) -> bool:
    settled = _settled(reference, answer)
    if settled is not None:
        return settled
    if not task.readable:
        raise UnreadableReference("reading the reference met a limit of time or memory")
    if not _parsed(units.without_unit(reference)[0]):
        raise UnreadableReference(f"the reference cannot be read as mathematics: {task.reference}")
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
    pairs = [_BRACKETED.fullmatch(text) for text in (a, b)]
    kinds = [pair.group(1, 2) for pair in pairs if pair is not None]
    return len(kinds) == 2 and kinds[0] != kinds[1]


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
        parsing_timeout=None,  # the worker's limit holds
    )
    return expressions


def _verified(reference: str, answer: str) -> bool:
    from math_verify import verify

    reference, unit = units.without_unit(reference)
    answer, other_unit = units.without_unit(answer)
    if units.unlike(unit, other_unit):
        return False
    gold, target = _parsed(reference), _parsed(answer)
    return bool(gold and target and verify(gold, target, timeout_seconds=None, allow_set_relation_comp=True))
