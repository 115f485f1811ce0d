"""Where in a text the final answer stands: the last box, "the answer is", or the last number.

Finds pieces of text and does not know what they mean. All of it is linear in the text's length.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from bon_hydra.verifiers import units
from bon_hydra.verifiers.completion import Completion


@dataclass(frozen=True, slots=True)
class Final:
    """The final answer as it stands in the text."""

    text: str
    way: str
    """How it was found: "boxed", "answer is" or "last number"."""


_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|([0-9A-Za-z]))")
_BRACE = re.compile(r"\\[{}\\]|[{}]")


def last_boxed(text: str) -> str | None:
    """The content of the last `\\boxed{…}` that is closed and not empty; None where there is none.

    >>> last_boxed(r"first \\boxed{1}, so \\boxed{\\frac{1}{2}}")
    '\\\\frac{1}{2}'
    """
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return None
    closing: dict[int, int] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text, boxes[0].start()):
        if brace.group() == "{":
            opened.append(brace.start())
        elif brace.group() == "}" and opened:
            closing[opened.pop()] = brace.start()
    for box in reversed(boxes):
        if box.group(1):
            return box.group(1)
        end = closing.get(box.end() - 1)
        if end is not None and (content := text[box.end() : end].strip()):
            return content
    return None


_STATED = re.compile(
    r"""(?: \b answers? \b (?: [^.\n:=]{0,60}? (?: \b(?:is|are|be)\b | [:=] ) | [*_]{1,3}[ \t]*(?=\n) )  # **Answer**
        | ^[ \t]*\#{4} )  # GSM8K's own last line
        [\s*_:]*""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
_FORMULA = re.compile(
    r"\$\$(.{1,2000}?)\$\$|\$([^$\n]{1,2000}?)\$(?!\d)|\\\((.{1,2000}?)\\\)|\\\[(.{1,2000}?)\\\]", re.DOTALL
)
_SENTENCE_END = re.compile(r"\n|[.!?;](?=\s|$)|[.!?;](?=[*_\"')\]]+(?:\s|$))")
_LONGEST_PHRASE = 2000
_REASON = re.compile(r",?\s+(?:because|since|given that|due to|which)\b.*", re.DOTALL | re.IGNORECASE)
_MATHEMATICS = re.compile(r"[\d\\^=+*/<>|]|^[A-Za-z]$")
_WORD = r"(?<![\\A-Za-z])[A-Za-z]{2,}(?![A-Za-z(])"
_LEADING_WORDS = re.compile(rf"(?:{_WORD}[\s:,]*)+")
_MOST_LEADING_WORDS = 3
"""What starts with more words, as in "the answer is found by adding 3 and 4", tells a story."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What follows an "answer is"."""

    phrase: str
    """To the end of its sentence, or the formula it starts with."""
    end: int
    """Where it ends in the text."""
    finished: bool
    """Something follows it, so that a cut-off text did not cut it."""


def last_stated(text: str) -> Stated | None:
    """What the last "the answer is …", "Answer: …" or "#### …" says; None where nothing does.

    A statement with mathematics in it wins over one in words ("if the answer is correct, …"), and words
    count only where no number follows them.
    """
    words: Stated | None = None
    for opening in reversed(list(_STATED.finditer(text))):
        stated = _stated_from(text, opening.end())
        if _MATHEMATICS.search(stated.phrase):
            leading = _LEADING_WORDS.match(stated.phrase)
            if leading is None or len(leading.group().split()) <= _MOST_LEADING_WORDS:
                return stated
            continue
        words = words or (stated if stated.phrase else None)
    return words if words is not None and not re.search(r"\d", text[words.end :]) else None


def _stated_from(text: str, start: int) -> Stated:
    if formula := _FORMULA.match(text, start):
        phrase, end = _inside(formula), formula.end()
        if percent := re.compile(r"\s*\\?%").match(text, end):
            phrase, end = phrase + "%", percent.end()
        return Stated(phrase, end, finished=True)
    limit = min(len(text), start + _LONGEST_PHRASE)
    stop = _SENTENCE_END.search(text, start, limit)
    end = stop.start() if stop else limit
    # "1." at the very end of a cut-off text may have been about to become 1.5
    finished = stop is not None and (stop.group() != "." or stop.end() < len(text))
    phrase = text[start:end].strip()
    return Stated((_REASON.sub("", phrase) or phrase).strip("*_").strip(), end, finished)


def _inside(formula: re.Match[str]) -> str:
    return next(group for group in formula.groups() if group is not None)


_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_LAST_NUMBER = re.compile(
    rf"""(?<![\w.^_{{]) (?<!\bnot[ ]) (?:(?<![\w)\]}}])[-\u2212])? \s? \$?
         (?: \d*\s?\\[dt]?frac\{{-?\d+\}}\{{\d+\}} | (?:{_NUMBER}) (?:\s?/\s?\d+)? )
         (?: \s?\\?% )?""",
    re.VERBOSE,
)


def last_number(text: str) -> str | None:
    """The last number of a text, with its sign, fraction bar, percent sign or known unit; None where there is none.

    A number behind "not" is none.
    """
    last = deque(_LAST_NUMBER.finditer(text), maxlen=1)
    return _with_unit(last[0].group(), text, last[0].end()) if last else None


def _with_unit(number: str, text: str, end: int) -> str:
    return f"{number.strip()} {units.behind(text, end)}".strip()


_PROSE = re.compile(
    r"[\s,(]+(?<![\\A-Za-z])(?!(?:and|or|sqrt|pi|sin|cos|tan|log|ln|exp|percent)\b)[A-Za-z]{3,}(?![A-Za-z(]).*",
    re.DOTALL,
)
_EXACT_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]*")


def expression_in(phrase: str) -> str:
    """The formula inside a stated phrase, without the prose around it.

    >>> expression_in("therefore 42 apples in total")
    '42'
    """
    if _EXACT_WORDS.fullmatch(phrase):
        return phrase
    expression = _LEADING_WORDS.sub("", phrase, count=1) if _LEADING_WORDS.match(phrase) else phrase
    if formula := _FORMULA.match(expression):
        return _inside(formula)
    prose = _PROSE.search(expression)
    if prose is None:
        return expression.strip(" ,*_") or phrase
    plain = expression[: prose.start()].strip(" ,*_")
    return _with_unit(plain, expression, prose.start()) if plain else phrase


def final_answer(completion: Completion) -> Final | None:
    """The final answer of a text: its last box, else what it states, else its last number.

    An answer that was cut off is judged only by an explicit final answer, a box or a finished statement.
    """
    text = completion.final_text
    if (boxed := last_boxed(text)) is not None:
        return Final(boxed, "boxed")
    stated = last_stated(text)
    if stated is not None and (stated.finished or not completion.truncated):
        return Final(expression_in(stated.phrase), "answer is")
    if completion.truncated:
        return None
    number = last_number(text)
    return None if number is None else Final(number, "last number")
