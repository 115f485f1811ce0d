"""Units behind numbers and formulas: what they measure, and how many of the base unit they are."""

from __future__ import annotations

import re
from fractions import Fraction

_MEASURES = {
    "length": "mm millimeter millimetre 1/1000, cm centimeter centimetre 1/100, dm 1/10, m meter metre 1,"
    " km kilometer kilometre 1000, in inch inches 0.0254, ft foot feet 0.3048, yd yard 0.9144, mi mile 1609.344",
    "mass": "mg milligram 1/1000, g gram 1, kg kilogram 1000, lb pound 453.59237, oz ounce 28.349523125",
    "time": "ms millisecond 1/1000, s sec second 1, min minute 60, h hr hour 3600, day 86400, week 604800",
    "months": "month 1, year yr 12",
    "volume": "ml milliliter millilitre 1/1000, cl 1/100, l liter litre 1, gal gallon 3.785411784",
    "angle": r"degree deg ^\circ 1",
    "radians": "radian rad 1",
    "celsius": "celsius 1",
    "fahrenheit": "fahrenheit 1",
    "cups": "cup 1",
    "dollars": "cent ¢ 1/100, $ dollar usd 1",
    "euros": "€ euro eur 1",
    "pounds": "£ 1",
    "yen": "¥ yen 1",
    "rupees": "₹ rs rupee 1",
}

_KNOWN: dict[str, tuple[str, Fraction]] = {}
for _measured, _units in _MEASURES.items():
    for _unit in _units.split(","):
        *_names, _size = _unit.split()
        for _name in _names:
            _KNOWN[_name] = _KNOWN[f"{_name}s"] = (_measured, Fraction(_size))

_NOT_UNITS = frozenset(
    "hundred thousand million billion trillion dozen dozens score half halves third thirds quarter quarters"
    " pi sqrt sin cos tan cot sec csc log ln exp mod factorial squared cubed choose infinity inf infty"
    " plus minus times over by or and not to than more less of x if when for base remainder am pm st nd rd th".split()
)
"""Words behind a number that change its value or make it another kind of thing."""

_UNIT = re.compile(r"(?:(square|sq|cubic|cu)\.? )?(\^\\circ|[a-z]+|[$€£¥₹¢])(?:\^?\{?([23])\}?)?")
_PER = re.compile(r"\s?/\s?| per ")
_SPEEDS = {"mph": "mile/hour", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "fps": "ft/s"}
_TEMPERATURE = re.compile(r"(?:\^\\circ|degrees?)\s?(c|f)(?:elsius|ahrenheit)?")
_WORD = r"(?:(?:square|sq|cubic|cu)\.? )?[A-Za-z]+(?:\^?\{?[23]\}?(?![0-9}]))?"
_BEHIND = re.compile(rf"\s?({_WORD}(?:(?:/| per ){_WORD})?)(?![A-Za-z])")
_LAST_WORDS = re.compile(rf"(?<![A-Za-z\\]){_WORD}(?:(?:/| per ){_WORD})?$")


def scale(unit: str) -> tuple[str, Fraction] | None:
    """What a unit in lower case measures and how many of the base unit it is; None for units that are not known.

    >>> scale("km/h")
    ('length^1/time^1', Fraction(5, 18))
    """
    if temperature := _TEMPERATURE.fullmatch(unit):
        return {"c": "celsius^1", "f": "fahrenheit^1"}[temperature[1]], Fraction(1)
    over, *under = (_simple_scale(part) for part in _PER.split(_SPEEDS.get(unit, unit), maxsplit=1))
    if over is None or not under:
        return over
    return None if under[0] is None else (f"{over[0]}/{under[0][0]}", over[1] / under[0][1])


def _simple_scale(unit: str) -> tuple[str, Fraction] | None:
    found = _UNIT.fullmatch(unit)
    if not found or found[2] not in _KNOWN:
        return None
    measured, size = _KNOWN[found[2]]
    power = int(found[3] or {"s": 2, "c": 3}.get((found[1] or " ")[0], 1))
    return f"{measured}^{power}", size**power


def ratio(unit: str, other: str) -> Fraction:
    """How many of the other unit one unit is; 0 where they measure different things, 1 where one is not known.

    "Degrees" says both an angle and a temperature.
    """
    one, two = scale(unit), scale(other)
    if one is None or two is None or one == two:
        return Fraction(1)
    if one[0] == two[0]:
        return one[1] / two[1]
    measures = {one[0], two[0]}
    return Fraction("angle^1" in measures and bool(measures & {"celsius^1", "fahrenheit^1"}))


def is_unit(text: str, attached: bool) -> bool:
    """Whether letters behind a number name a unit rather than a variable or another factor.

    One or two letters do only where they are a known unit, a single letter only behind a space: 5x and 5m are products.
    """
    if text.startswith("^"):
        return True
    words = re.findall(r"[a-z]+", text)
    if any(word in _NOT_UNITS for word in words):
        return False
    if len(words[0]) == 1:
        return not attached and words[0] in _KNOWN
    return words[0] in _KNOWN or (len(words[0]) > 2 and not attached)


def behind(text: str, position: int) -> str:
    """The known unit that stands at a position of prose, "" where there is none; "in" and single letters are words."""
    found = _BEHIND.match(text, position)
    if not found:
        return ""
    for unit in (found[1], found[1].partition(" ")[0]):
        if len(unit) > 1 and unit.lower() != "in" and scale(unit.lower()):
            return unit
    return ""


def without_unit(text: str) -> tuple[str, str]:
    """A formula and the known unit behind it, "" where there is none: ("16\\\\pi", "cm^2") for "16\\\\pi cm^2"."""
    last = _LAST_WORDS.search(text)
    if not last or last.start() == 0 or len(last.group()) == 1:
        return text, ""
    unit = last.group().lower()
    if unit[1] in "^/" and text[last.start() - 1] != " ":  # 2x/s is a quotient, 2 m/s a speed
        return text, ""
    if scale(unit) is None and unit not in {"units", "square units", "cubic units"}:
        return text, ""
    return text[: last.start()].strip(), unit
