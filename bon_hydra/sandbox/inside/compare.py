"""When a result is the expected one: for calls with inputs and outputs, and for standard output. Pure functions."""

from __future__ import annotations

import math
from typing import Any

TOLERANCE = 1e-6
"""Relative or absolute, for floats, as programming contests' checkers have it."""


def same_result(got: Any, expected: Any) -> bool:
    """Whether a call returned what TACO and APPS expect: there the output may be wrapped in a one-element list."""
    if _same(got, expected):
        return True
    return type(expected) is list and len(expected) == 1 and _same(got, expected[0])


def _same(got: Any, expected: Any) -> bool:
    """Equal as JSON sees it: tuples are lists, keys are text, floats within TOLERANCE, the rest as `==` has it."""
    if isinstance(got, list | tuple) and isinstance(expected, list | tuple):
        return len(got) == len(expected) and all(map(_same, got, expected))
    if type(got) is dict and type(expected) is dict:
        mine = {_key(key): value for key, value in got.items()}
        theirs = {_key(key): value for key, value in expected.items()}
        return mine.keys() == theirs.keys() and all(_same(mine[key], theirs[key]) for key in mine)
    if float in (type(got), type(expected)) and {type(got), type(expected)} <= {int, float}:
        return _close(got, expected)
    return bool(got == expected)


def _key(key: Any) -> str:
    return key if type(key) is str else repr(key)


def _close(got: float, expected: float) -> bool:
    try:
        return math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (
            got != got and expected != expected
        )
    except OverflowError:
        return False


def same_output(got: str, accepted: list[str]) -> bool:
    """Whether a program printed one of the accepted outputs: token by token, white space folded, floats TOLERANCE."""
    tokens = got.split()
    return any(_same_tokens(tokens, expected.split()) for expected in accepted)


def _same_tokens(got: list[str], expected: list[str]) -> bool:
    return len(got) == len(expected) and all(map(_same_token, got, expected))


def _same_token(got: str, expected: str) -> bool:
    if got == expected:
        return True
    if not _has_point(expected) and not _has_point(got):
        return False
    try:
        mine, theirs = float(got), float(expected)
    except ValueError:
        return False
    return math.isfinite(mine) and math.isfinite(theirs) and "_" not in got and _close(mine, theirs)


def _has_point(token: str) -> bool:
    return "." in token or "e" in token.lower()
