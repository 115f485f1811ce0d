"""Multiple choice: one letter against the reference's letter."""

from __future__ import annotations

import re

from bon_hydra.records import Verdict
from bon_hydra.verifiers.completion import Completion, Task, comparison, one_line
from bon_hydra.verifiers.extraction import Final, last_boxed
from bon_hydra.verifiers.notation import normalised

_CHOICE = re.compile(
    r"""(?: (?:option|choice|answer) \s* :? \s* )? [(\[{]? ([A-Za-z]) [)\]}]?
        (?: [.:,)]?$ | [.:)] \s* \S.* | (?<=[)\]}]) .* )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_STATED = re.compile(
    r"""(?i: \b(?:answer|option|choice)\b [^.\n]{0,60}? (?: \b(?:is|are|be)\b | [:=] )
           | \b(?:correct|right|best)\s+(?:answer|option|choice) )
        (?i: \s* (?:therefore|thus|clearly|option|choice|letter|:) )* [\s*_$]* (?:\\\()?
        (?: \\(?:text|mathrm|mathbf|textbf)\{ )? [(\[]? ([A-Z]) (?![A-Za-z'\u2019]) [)\]}$*_.]*
        (?! \s* (?:or|and|/|,) \s* [(\[]?[A-Z]\b )""",
    re.VERBOSE,
)
_LONE = re.compile(r"[\s*_$>#(\[]*([A-Z])[)\].:*_$\s]*")
_LEADING = re.compile(r"[\s*_(\[]*([A-Z])(?:[).\]:][*_\s]|[*_]{2})")


def judge(completion: Completion, task: Task) -> Verdict:
    """`pass` where the chosen letter is the reference's; `unverifiable` where the reference is no letter."""
    right = letter_in(task.reference or "")
    if right is None:
        return Verdict("unverifiable", one_line(f"the reference is not the letter of a choice: {task.reference}"))
    chosen = chosen_letter(completion)
    if chosen is None:
        return Verdict("no_answer", "cut off before a final answer" if completion.truncated else "no choice found")
    equal = chosen.text == right
    return Verdict("pass" if equal else "fail", comparison(chosen.way, chosen.text, right, equal), answer=chosen.text)


def letter_in(text: str) -> str | None:
    """The letter that a box or a reference names: `\\text{A}`, "(a)", "B. 12 cm"; None for no letter or several."""
    found = _CHOICE.fullmatch(normalised(text))
    return found[1].upper() if found else None


def chosen_letter(completion: Completion) -> Final | None:
    """The last boxed letter, else the last "answer is (B)", else one that stands alone (never in a cut-off answer)."""
    text = completion.final_text
    boxed = last_boxed(text)
    if boxed is not None and (letter := letter_in(boxed)) is not None:
        return Final(letter, "boxed")
    stated = list(_STATED.finditer(text))
    if stated:
        return Final(stated[-1][1], "answer is")
    if completion.truncated:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    ends = lines[-1:] + lines[:1]
    found = [*map(_LONE.fullmatch, ends), *map(_LEADING.match, ends)]
    return next((Final(letter[1], "lone letter") for letter in found if letter is not None), None)
