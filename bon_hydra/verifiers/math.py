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
from bon_hydra.verifiers import notation, numbers, relations, units, warmth
from bon_hydra.verifiers.choice import chosen_letter
from bon_hydra.verifiers.completion import Completion, Task, comparison, one_line, stored
from bon_hydra.verifiers.extraction import final_answer


class UnreadableReference(Exception):
    """The reference cannot be compared as mathematics; the message is a reason."""


_WORDS = re.compile(
    r"(?=.*[A-Za-z]{4}|(?:yes|no|odd|all|one|two|six|ten)$)[A-Za-z]+(?:[ ',-]+[A-Za-z]+)*", re.IGNORECASE
)
_NAME = re.compile(r"(?=.{3})[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_TEXT = re.compile(r"\\(?:text|textbf|textit|mbox)\{([A-Za-z][A-Za-z0-9 ',.!?-]*[A-Za-z][A-Za-z0-9 ',.!?-]*)\}")
_ARTICLE = re.compile(r"(?:an?|the) (?=\w)")
_LETTER = re.compile(r"\(?([A-Z])\)?|\(?([A-Z])[).:].*", re.DOTALL)
_BRACKETED = re.compile(r"(\(|\[|\\\{)[^()\[\]]*,[^()\[\]]*(\)|\]|\\\})")
_TUPLE = re.compile(r"\(([^()\[\]]*,[^()\[\]]*)\)")
_LIST = re.compile(r"(?!\\\{)[^()\[\]=<>]*,[^()\[\]=<>]*")
_WITHOUT_I = frozenset("jkmn")
"""Variables beside which i is an index or a unit vector, not the imaginary unit."""


def judge(completion: Completion, task: Task) -> Verdict:
    """`pass` where the final answer equals the reference; `unverifiable` where the reference cannot be read.

    The reason names the way the answer was found and both sides: "boxed 41, reference is 42".
    """
    final = final_answer(completion)
    if (final is None or final.way == "last number") and _LETTER.fullmatch(notation.normalised(task.reference or "")):
        final = chosen_letter(completion) or final
    if final is None:
        reason = "cut off before a final answer" if completion.truncated else "no final answer found"
        return Verdict("no_answer", reason)
    reference = notation.normalised(task.reference or "")
    plain = notation.normalised(final.text)
    if plain != reference:
        plain = notation.without_statement(plain)
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
    if settled is None:
        return a == b or _verified(a, b)
    return settled and _settled(b, a) is True


def read_reference(task: Task) -> None:
    """Read and evaluate the reference without any answer: what it costs here is not an answer's fault.

    A plain number costs nothing.
    """
    reference = notation.normalised(task.reference or "")
    if _number(reference) is None:
        _readable(reference)


def _equals_reference(task: Task, reference: str, answer: str) -> bool:
    """Whether the answer is the reference.

    What cannot be read as mathematics raises UnreadableReference for every answer, also for one that equals it letter
    by letter: if only right answers could be judged, all that were judged would be right.
    """
    if _TEXT.fullmatch((task.reference or "").strip().strip("$")) and numbers.number_in(reference) is None:
        return _same_words(reference, answer)
    settled = _settled(reference, answer)
    if settled is not None:
        return settled
    if not task.readable:
        raise UnreadableReference("reading the reference met a limit of time or memory")
    if not _parsed(units.without_unit(_in_one_form(reference, reference)[0])[0]):
        raise UnreadableReference(f"the reference cannot be read as mathematics: {task.reference}")
    if reference == answer:
        return _readable(reference)
    if len(answer) > 2000 + 20 * len(reference) or _differently_bracketed(reference, answer):
        return False
    return _verified(reference, answer)


@lru_cache(maxsize=64)
def _readable(reference: str) -> bool:
    """True once the reference has been read and evaluated."""
    _verified(reference, "1")
    return True


def _number(plain: str) -> numbers.Number | None:
    number = numbers.number_in(plain)
    if number is None and (side := notation.right_hand_side(plain)) is not None:
        number = numbers.number_in(side)
    return number


def _settled(reference: str, answer: str) -> bool | None:
    """What words, letters and plain numbers say of two answers; None where they leave it open."""
    if not reference or not answer:
        return False
    if _is_word(reference):
        return _same_words(reference, answer)
    letter = _LETTER.fullmatch(reference)
    if letter and (chosen := _LETTER.fullmatch(answer)):
        return (letter[1] or letter[2]) == (chosen[1] or chosen[2])
    if "=" in reference and "=" in answer and reference.partition("=")[0] != answer.partition("=")[0]:
        return None  # x = 5 and y = 5 are two things, x + 1 = 6 and x = 5 one
    number, other = _number(reference), _number(answer)
    if number is not None and other is not None:
        return numbers.equal(number, other)
    return _same_digits(reference, answer)


def _same_digits(reference: str, answer: str) -> bool | None:
    """What numbers with a base, and times of day, say of two answers."""
    if (time := numbers.time_of_day(reference)) is not None:
        return time == numbers.time_of_day(answer)
    based, other = numbers.in_base(reference), numbers.in_base(answer)
    if based is not None and other is not None:
        return based == other
    if based is not None or other is not None:
        plain = answer if based is not None else reference
        return (based or other or ("", 0))[0] == plain.lstrip("0") if plain.isdigit() else None
    return None


def _is_word(reference: str) -> bool:
    """Whether a reference is a word or several rather than a product of variables.

    Three letters are a word with a capital, or where they hold a vowel and are not in a product's alphabetical order.
    """
    if _WORDS.fullmatch(reference) or _NAME.fullmatch(reference):
        return True
    short = len(reference) == 3 and reference.isascii() and reference.isalpha() and reference.islower()
    return short and not set("aeiou").isdisjoint(reference) and sorted(reference) != list(reference)


def _same_words(reference: str, answer: str) -> bool:
    """Whether two texts say the same, without case, article, hyphens and what stands around them."""
    return _plain_words(reference) == _plain_words(answer)


def _plain_words(text: str) -> str:
    return _ARTICLE.sub("", re.sub(r"[\s-]+", " ", text).strip(" ().,!?'").casefold(), count=1)


def _differently_bracketed(a: str, b: str) -> bool:
    """A point, an interval and a set of the same numbers are three things; math-verify takes some for each other."""
    pairs = [_BRACKETED.fullmatch(text) for text in (a, b)]
    kinds = [pair.group(1, 2) for pair in pairs if pair is not None]
    return len(kinds) == 2 and kinds[0] != kinds[1]


@lru_cache(maxsize=256)
def _parsed(plain: str) -> list[Any]:
    """What math-verify reads in a normalised answer: SymPy objects, an empty list where it reads nothing."""
    warmth.needed()
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
    if units.ratio(unit, other_unit) != 1:
        return False
    reference, answer = notation.with_case_kept(*_in_one_form(reference, answer))
    gold, target = _parsed(reference), _parsed(answer)
    if not gold or not target:
        return False
    gold, target = _with_imaginary_unit(gold, target)
    return bool(verify(gold, target, timeout_seconds=None, allow_set_relation_comp=True))


def _in_one_form(a: str, b: str) -> tuple[str, str]:
    """Two answers, each as a set where one describes a set by inequalities, as tuples where one is assignments."""
    if r"\{" in a + b or "or" in a + b:
        one, other = relations.described_set(a), relations.described_set(b)
        if one is None or other is None or one[0] == other[0]:
            return one[1] if one else a, other[1] if other else b
    if _TUPLE.fullmatch(a) and _LIST.fullmatch(b):  # of a list and a tuple, both are in order
        return a, f"({b})"
    if _TUPLE.fullmatch(b) and _LIST.fullmatch(a):
        return f"({a})", b
    if "=" in a + b:
        if _TUPLE.fullmatch(b):
            return relations.assigned_tuple(a) or a, b
        if _TUPLE.fullmatch(a):
            return a, relations.assigned_tuple(b) or b
    return a, b


def _with_imaginary_unit(gold: list[Any], target: list[Any]) -> tuple[list[Any], list[Any]]:
    """The same with i as the imaginary unit, unless variables beside it say that it is an index or a vector."""
    from sympy import I

    symbols = [symbol for expression in gold + target for symbol in expression.free_symbols]
    if not any(symbol.name == "i" for symbol in symbols) or any(symbol.name in _WITHOUT_I for symbol in symbols):
        return gold, target
    units_i = [(symbol, I) for symbol in symbols if symbol.name == "i"]
    return [each.subs(units_i) for each in gold], [each.subs(units_i) for each in target]
