"""Plain numbers as people write them: separators, fractions, mixed numbers, percent, currencies, units.

Exact: everything is a Fraction, nothing is ever a float.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

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


_INTEGER = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)"
_PATTERN = re.compile(
    rf"""
    (?P<open>\()? (?P<sign>[-+])? \s? (?P<currency>\$|€|£|¥|₹|US\$|(?:Rs|USD|EUR)\.?\s)? \s? (?P<sign2>[-+])?
    (?: (?P<whole>\d+)? \s? \\frac\{{(?P<top>-?\d+)\}}\{{(?P<bottom>-?\d+)\}}
      | (?:(?P<mixed>\d+)[ ](?=\d+/))? (?P<over>{_INTEGER}) \s?/\s? (?P<under>{_INTEGER})
      | (?P<integer>{_INTEGER})? (?: \.(?P<decimals>\d*) (?:\\overline\{{(?P<period>\d+)\}})? )?
    )
    (?: (?:\s?(?:\\times|\\cdot|\*)\s?|\ x\ )10\^\{{?(?P<power>-?\d{{1,3}})\}}? | [eE](?P<exponent>[-+]?\d{{1,3}})(?!\d) )?
    (?P<close>\))?
    (?P<unit> \s?% | \s?\^\\circ(?:\s?[CFK])? | \s?[A-Za-z][A-Za-z .,/]*(?:\^?\{{?[23]\}}?)? )?
    """,
    re.VERBOSE,
)

_PERCENT = frozenset({"%", "percent", "per cent", "percentage", "pct"})
_NOT_UNITS = frozenset(
    "hundred thousand million billion trillion dozen dozens score pi sqrt sin cos tan cot sec csc log ln exp or and plus minus times mod"
    " factorial squared cubed choose over half halves third thirds quarter quarters to base more less than infinity inf infty of x by am pm"
    " or_more not if when for remainder st nd rd th".split()
)
_SCALES: dict[str, tuple[str, Fraction]] = {}
for _kind, _units in {
    "length": {"mm millimeter millimetre": "1/1000", "cm centimeter centimetre": "1/100", "dm": "1/10", "m meter metre": "1",
               "km kilometer kilometre": "1000", "in inch inches": "0.0254", "ft foot feet": "0.3048", "yd yard": "0.9144",
               "mi mile": "1609.344"},
    "mass": {"mg milligram": "1/1000", "g gram": "1", "kg kilogram": "1000", "lb pound": "453.59237", "oz ounce": "28.349523125"},
    "time": {"ms millisecond": "1/1000", "s sec second": "1", "min minute": "60", "h hr hour": "3600", "day": "86400", "week": "604800"},
    "money": {"$ dollar usd": "100", "cent ¢": "1"},
    "euros": {"€ euro eur": "1"}, "pounds sterling": {"£": "1"}, "yen": {"¥ yen": "1"}, "rupees": {"₹ rs rupee": "1"},
    "volume": {"ml milliliter millilitre": "1/1000", "l liter litre": "1", "gal gallon": "3.785411784"},
    "angle": {"degree deg ^\\circ": "1", "radian rad": "0"},
    "months": {"month": "1", "year yr": "12"},
}.items():  # fmt: skip
    for _names, _scale in _units.items():
        for _name in _names.split():
            _SCALES[_name] = _SCALES[f"{_name}s"] = (_kind, Fraction(_scale))


def number_in(text: str) -> Number | None:
    """The number that the whole of a normalised text is; None where it is anything else.

    >>> number_in(r"-3\\frac{1}{2}").value
    Fraction(-7, 2)
    """
    if len(text) > _LONGEST or not (found := _PATTERN.fullmatch(text)):
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
    if unit and not _is_unit(unit, attached=written[0].isalpha()):
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
    value = Fraction(f"{_whole(part['integer'])}.{decimals or 0}")
    if period:
        return value + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(decimals)), None
    return value, len(decimals) if decimals else None


def _whole(digits: str | None) -> int:
    return int((digits or "0").replace(",", "").replace(" ", ""))


def _is_unit(unit: str, attached: bool) -> bool:
    """Whether letters behind a number name a unit rather than a variable or another factor.

    One or two letters are a unit only where they are a known one, a single letter only behind a space: 5x and 5m are products.
    """
    words = re.findall(r"[a-z]+", unit)
    if any(word in _NOT_UNITS for word in words):
        return False
    if unit.startswith("^"):
        return True
    if len(words[0]) == 1:
        return not attached and words[0] in _SCALES
    return words[0] in _SCALES or (len(words[0]) > 2 and not attached)


def equal(a: Number, b: Number) -> bool:
    """Whether two numbers are the same: exactly, or one is the other rounded to six or more significant digits.

    A percentage is its number as well as its hundredth (graders ask for "percent" both ways);
    known units are converted, other units are ignored, as is a missing one.
    """
    scale_a, scale_b = _scale(a.unit), _scale(b.unit)
    if scale_a and scale_b and scale_a != scale_b:
        return scale_a[0] == scale_b[0] and a.value * scale_a[1] == b.value * scale_b[1]
    if _same_value(a, b):
        return True
    if a.percent != b.percent:
        return _same_value(_hundredth(a), _hundredth(b))
    return False


_UNIT = re.compile(r"(?:(square|sq|cubic|cu)\.? )?(\^\\circ|[a-z$€£¥₹¢]+)(?:\^?\{?([23])\}?)?")


def _scale(unit: str) -> tuple[str, Fraction] | None:
    """What a unit measures and how many of the base unit it is; None for units that are not known."""
    found = _UNIT.fullmatch(unit)
    if not found or found[2] not in _SCALES:
        return None
    measures, scale = _SCALES[found[2]]
    power = int(found[3] or {"s": 2, "c": 3}.get((found[1] or " ")[0], 1))
    return f"{measures}^{power}", scale**power


def without_unit(text: str) -> tuple[str, str]:
    """A formula and the known unit behind it, "" where there is none: ("16\\pi", "cm^2") for "16\\pi cm^2"."""
    start = re.search(r"(?:(?:square|sq|cubic|cu)\.? )?[A-Za-z]+(?:\^?\{?[23]\}?)?$", text)
    if not start or start.start() == 0 or text[start.start() - 1] == "\\":
        return text, ""
    unit = start.group().lower()
    known = _scale(unit) is not None or unit in {"units", "square units", "cubic units"}
    return (text[: start.start()].strip(), unit) if known and len(unit) > 1 else (text, "")


def unlike(unit: str, other: str) -> bool:
    """Whether two units are both known and measure differently."""
    return None not in (_scale(unit), _scale(other)) and _scale(unit) != _scale(other)


def _hundredth(number: Number) -> Number:
    return Number(number.value / 100, number.places and number.places + 2) if number.percent else number


def _same_value(a: Number, b: Number) -> bool:
    return a.value == b.value or _rounds_to(a, b) or _rounds_to(b, a)


def _rounds_to(exact: Number, decimal: Number) -> bool:
    """Whether `decimal` is `exact` rounded to the places it was written with."""
    if decimal.places is None or abs(decimal.value) * 10**decimal.places < 10 ** (_ENOUGH_DIGITS - 1):
        return False
    return 2 * abs(exact.value - decimal.value) * 10**decimal.places <= 1


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
