"""Inequalities as the sets they describe, and assignments as the tuple they name.

Rewrites normalised text so that "x < 1 or x > 3" can be compared with a union of intervals, and "y = 2, x = 3"
with (3, 2). Knows no mathematics beyond that.
"""

from __future__ import annotations

import re

_RELATION = re.compile(r"(<=|>=|<|>|\\(?:le|ge|lt|gt)(?![A-Za-z])\s?)")
_OPENS = {"<": True, ">": True, r"\lt": True, r"\gt": True}
_UPWARDS = {"<", "<=", r"\le", r"\lt"}
_VARIABLE = re.compile(r"[A-Za-z]|\\(?!infty|pi)[a-z]+")
_BUILDER = re.compile(r"\\\{([A-Za-z])(?:\\in\s?\\mathbb\{?R\}?)?(?::|\\mid\s?|\\vert\s?|\|)(.+)\\\}", re.DOTALL)
_OR = re.compile(r"(?<![A-Za-z\\])\s?or\s?(?![A-Za-z])|\\(?:lor|vee)(?![A-Za-z])\s?")


def described_set(text: str) -> tuple[str, str] | None:
    r"""The variable and the union of intervals that inequalities describe; None for anything else.

    >>> described_set(r"x<1or x\ge 3")
    ('x', '(-\\infty,1)\\cup [3,\\infty)')
    """
    builder = _BUILDER.fullmatch(text)
    intervals = [_interval(part.strip()) for part in _OR.split(builder[2] if builder else text)]
    found = [interval for interval in intervals if interval is not None]
    variables = {variable for variable, _ in found} | ({builder[1]} if builder else set())
    if len(found) != len(intervals) or len(variables) != 1:
        return None
    return variables.pop(), r"\cup ".join(interval for _, interval in found)


def _interval(text: str) -> tuple[str, str] | None:
    """The variable and the interval of x < 3, 3 > x or 1 < x < 3."""
    sides = [side.strip() for side in _RELATION.split(text)]
    if len(sides) not in (3, 5) or not all(sides) or "," in text or "=" in text.replace("<=", "").replace(">=", ""):
        return None
    if len(sides) == 5 and (sides[1] in _UPWARDS) != (sides[3] in _UPWARDS):
        return None
    if sides[1] not in _UPWARDS:
        sides.reverse()
    if len(sides) == 5:
        low, opening, variable, closing, high = sides
    elif _VARIABLE.fullmatch(sides[0]):
        variable, closing, high = sides
        low, opening = r"-\infty", "<"
    else:
        low, opening, variable = sides
        closing, high = "<", r"\infty"
    if not _VARIABLE.fullmatch(variable) or _VARIABLE.fullmatch(low) or _VARIABLE.fullmatch(high):
        return None
    left, right = "(" if opening in _OPENS else "[", ")" if closing in _OPENS else "]"
    return variable, f"{left}{low},{high}{right}"


_ASSIGNMENT = re.compile(r"([A-Za-z](?:_\{?\w+\}?)?)=([^=<>,]+)")
_SEPARATOR = re.compile(r"\s?(?:,|;|(?<![A-Za-z\\])and(?![A-Za-z]))\s?")


def assigned_tuple(text: str) -> str | None:
    """The values of "y=2,x=3" as a tuple in the order of their variables, (3,2); None for anything else."""
    found = [_ASSIGNMENT.fullmatch(part) for part in _SEPARATOR.split(text) if part]
    values = {assignment[1]: assignment[2] for assignment in found if assignment is not None}
    if len(values) < 2 or len(values) != len(found):
        return None
    return f"({','.join(values[variable] for variable in sorted(values))})"
