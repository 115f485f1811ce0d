"""Plain numbers as people write them: separators, fractions, mixed numbers, percent, currencies, units.

Exact: everything is a Fraction, nothing is ever a float.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from bon_hydra.verifiers import units

_LONGEST = 1000
"""Digits of longer numbers are compared as text only."""

_ENOUGH_DIGITS = 6
"""So many significant digits make a rounded decimal as good as the number itself."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    value: Fraction
    places: int | None = None
    """Digits after the decimal point; None where it was not written as a decimal."""
    percent: bool = False
    unit: str = ""


_INTEGER = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?:[ ]\d{3})+|\d+)"
_PATTERN = re.compile(
    rf"""
    (?P<open>\()? (?P<sign>[-+])? \s? (?P<currency>\$|€|£|¥|₹|US\$|(?:Rs|USD|EUR)\.?\s)? \s? (?P<sign2>[-+])?
    (?: (?P<whole>\d+)? \s? \\frac\{{(?P<top>-?\d+)\}}\{{(?P<bottom>-?\d+)\}}
      | (?:(?P<mixed>\d+)[ ](?=\d+/))? (?P<over>{_INTEGER}) \s?/\s? (?P<under>{_INTEGER})
      | (?P<integer>{_INTEGER})? (?: \.(?P<decimals>\d*) (?:\\overline\{{(?P<period>\d+)\}})? )?
    )
    (?: (?: \s?(?:\\times|\\cdot|\*)\s? | \ x\ ) 10\^\{{?(?P<power>-?\d{{1,3}})\}}?
      | [eE](?P<exponent>[-+]?\d{{1,3}})(?!\d) )?
    (?P<close>\))?
    (?P<unit> \s?% | \s?\^\\circ(?:\s?[CFK])?
      | \s?[A-Za-z][A-Za-z .,/]*(?:\^?\{{?[23]\}}?)? (?:/[A-Za-z]+(?:\^?\{{?[23]\}}?)?)? )?
    """,
    re.VERBOSE,
)

_PERCENT = frozenset({"%", "percent", "per cent", "percentage", "pct"})


def number_in(text: str) -> Number | None:
    """The number that the whole of a normalised text is; None where it is anything else.

    >>> number_in(r"-3\\frac{1}{2}").value
    Fraction(-7, 2)
    """
    return None if len(text) > _LONGEST else _short_number_in(text)


@lru_cache(maxsize=1024)
def _short_number_in(text: str) -> Number | None:
    found = _PATTERN.fullmatch(text)
    if not found:
        return None
    part = found.groupdict()
    if (part["open"] is None) != (part["close"] is None) or (part["sign"] and part["sign2"]):
        return None
    value, places = _magnitude(part)
    if value is None:
        return None
    if power := part["power"] or part["exponent"]:
        value, places = value * Fraction(10) ** int(power), None
    if "-" in (part["sign"], part["sign2"]):
        value = -value
    written = part["unit"] or ""
    unit = written.strip().lower().rstrip(".")
    if unit in _PERCENT:
        return Number(value, places, percent=True)
    if unit and not units.is_unit(unit, attached=written[0].isalpha()):
        return None
    if part["currency"]:
        unit = part["currency"].strip().rstrip(".").lower().removeprefix("us") or unit
    return Number(value, places, unit=unit)


def _magnitude(part: dict[str, str | None]) -> tuple[Fraction | None, int | None]:
    if part["top"] is not None and part["bottom"] is not None:
        top, bottom = int(part["top"]), int(part["bottom"])
        if bottom == 0 or (part["whole"] and (top < 0 or bottom < 0)):
            return None, None
        return _whole(part["whole"]) + Fraction(top, bottom), None
    if part["over"] is not None:
        bottom = _whole(part["under"])
        return (None, None) if bottom == 0 else (_whole(part["mixed"]) + Fraction(_whole(part["over"]), bottom), None)
    decimals, period = part["decimals"] or "", part["period"]
    if part["integer"] is None and not decimals and not period:
        return None, None
    value = Fraction(_whole(part["integer"])) + Fraction(int(decimals or 0), 10 ** len(decimals))
    if period:
        return value + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(decimals)), None
    return value, len(decimals) if decimals else None


def _whole(digits: str | None) -> int:
    return int((digits or "0").replace(",", "").replace(" ", ""))


def equal(reference: Number, answer: Number) -> bool:
    """Whether two numbers are the same: exactly, or one is the other rounded to six or more significant digits.

    A percentage is its hundredth, and also its number where a percentage may have been asked for: against a
    reference without the sign only above 1, since 0.5% is not 0.5. Known units are converted, other units are
    ignored, as is a missing one.
    """
    ratio = units.ratio(reference.unit, answer.unit)
    if ratio != 1:
        return reference.value * ratio == answer.value and ratio != 0
    if reference.percent != answer.percent and _same_value(_hundredth(reference), _hundredth(answer)):
        return True
    if answer.percent and not reference.percent and abs(reference.value) <= 1:
        return reference.value == answer.value == 0
    return _same_value(reference, answer)


def _hundredth(number: Number) -> Number:
    return Number(number.value / 100, number.places and number.places + 2) if number.percent else number


def _same_value(a: Number, b: Number) -> bool:
    return a.value == b.value or _rounds_to(a, b) or _rounds_to(b, a)


def _rounds_to(exact: Number, decimal: Number) -> bool:
    """Whether `decimal` is `exact` rounded to the places it was written with."""
    if decimal.places is None or abs(decimal.value) * 10**decimal.places < 10 ** (_ENOUGH_DIGITS - 1):
        return False
    return abs(exact.value - decimal.value) <= Fraction(1, 2 * 10**decimal.places)


_IN_BASE = re.compile(r"0*(\d+)_\{?(\d{1,2})\}?")


def in_base(text: str) -> tuple[str, int] | None:
    """The digits and the base of a number written with its base, such as 1011_2; None for anything else."""
    found = _IN_BASE.fullmatch(text)
    return (found[1], int(found[2])) if found else None


_TIME = re.compile(r"(\d{1,2})(?::([0-5]\d))?\s?([AaPp])\.?\s?[Mm]\.?")


def time_of_day(text: str) -> tuple[int, int, str] | None:
    """Hour, minutes and "a" or "p" of a time with a.m. or p.m.; None for anything else."""
    found = _TIME.fullmatch(text)
    return (int(found[1]), int(found[2] or 0), found[3].lower()) if found else None


def canonical(number: Number) -> str:
    """A number in its one form: `42`, `0.5`, `1/2`, `50%`; its unit is left out.

    >>> canonical(Number(Fraction(84, 2)))
    '42'
    """
    value, sign = number.value, "%" if number.percent else ""
    if value.denominator == 1:
        return f"{value.numerator}{sign}"
    if number.places is None:
        return f"{value.numerator}/{value.denominator}{sign}"
    digits = str(abs(value) * 10**number.places).rjust(number.places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[: -number.places]}.{digits[-number.places :].rstrip('0')}{sign}"
