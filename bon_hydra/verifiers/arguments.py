"""Values of tool calls: whether one has its JSON Schema's type, and whether two say the same after BFCL.

Knows neither calls nor tools.
"""

from __future__ import annotations

import math
import re
from typing import Any


def properties_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Parameter -> its rule, of the schema of an object; empty where there are none."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: rule if isinstance(rule, dict) else {} for name, rule in properties.items()}


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "tuple": (list,),
    "object": (dict,),
    "dict": (dict,),
    "null": (type(None),),
}


def has_type(value: Any, rule: dict[str, Any]) -> bool:
    """Whether a value has its schema's type, lists and objects looked into; types nobody knows hold for everything."""
    alternatives = rule.get("anyOf") or rule.get("oneOf")
    if isinstance(alternatives, list):
        return any(has_type(value, alternative) for alternative in alternatives if isinstance(alternative, dict))
    names = rule.get("type")
    for name in names if isinstance(names, list) else [names]:
        kinds = _TYPES.get(name) if isinstance(name, str) else None
        if kinds is None or (type(value) in kinds and _has_inner_types(value, rule)):
            return True
    return value is None and rule.get("nullable") is True


def types_of(rule: dict[str, Any]) -> str:
    """The types that a rule allows, for a reason: "integer or null"."""
    alternatives = rule.get("anyOf") or rule.get("oneOf")
    if isinstance(alternatives, list):
        return " or ".join(types_of(alternative) for alternative in alternatives if isinstance(alternative, dict))
    names = rule.get("type")
    return " or ".join(map(str, names if isinstance(names, list) else [names]))


def _has_inner_types(value: Any, rule: dict[str, Any]) -> bool:
    if isinstance(value, list) and isinstance(rule.get("items"), dict):
        return all(has_type(item, rule["items"]) for item in value)
    if isinstance(value, dict):
        properties = properties_of(rule)
        return all(has_type(item, properties.get(name, {})) for name, item in value.items())
    return True


_NUMERAL = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)\s*")


def equal(value: Any, expected: Any) -> bool:
    """Whether two JSON values are the same after BFCL: type for type, numbers within 1e-9, strings standardised."""
    if isinstance(value, bool) or isinstance(expected, bool) or value is None or expected is None:
        return value is expected
    if isinstance(value, int | float) and isinstance(expected, int | float):
        exact = isinstance(value, int) and isinstance(expected, int)
        return value == expected or (not exact and math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9))
    if isinstance(value, str) and isinstance(expected, str):
        if _NUMERAL.fullmatch(value) and _NUMERAL.fullmatch(expected):
            return value.strip() == expected.strip() or float(value) == float(expected)
        return _standardised(value) == _standardised(expected) and _same_figures(value, expected)
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(equal, value, expected))
    if isinstance(value, dict) and isinstance(expected, dict):
        return value.keys() == expected.keys() and all(equal(value[key], expected[key]) for key in value)
    return False


def accepts(value: Any, accepted: list[Any]) -> bool:
    """Whether a value is one of the accepted, of whose objects each key lists what is accepted there."""
    return any(_fits(value, each) for each in accepted)


def _fits(value: Any, accepted: Any) -> bool:
    """Whether a value is one accepted value, whose objects list for each key what is accepted there."""
    if isinstance(value, dict) and isinstance(accepted, dict):
        options = {key: each if isinstance(each, list) else [each] for key, each in accepted.items()}
        return all(key in options and accepts(value[key], options[key]) for key in value) and all(
            key in value or "" in options[key] for key in options
        )
    if isinstance(value, list) and isinstance(accepted, list):
        return len(value) == len(accepted) and all(map(_fits, value, accepted))
    return equal(value, accepted)


def _standardised(text: str) -> str:
    """BFCL's `standardize_string`."""
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


_FIGURE = re.compile(r"(?:(?<![\w)\].])-)?\d+(?:\.\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_POWER = re.compile(r"(?<=[\w)])\s?(?:\^|\*\*)\s?(?=[\w(-])")
_SERIAL_DIGITS = 7


def _same_figures(a: str, b: str) -> bool:
    """Whether two strings that are standardised alike hold the same numbers and powers.

    Without punctuation 11/2/2025 is 1/12/2025, 1.5 km is 15 km and x^2 is x*2. A long number may be written in
    groups or without, as dates and telephone numbers are.
    """
    if len(_POWER.findall(a)) != len(_POWER.findall(b)):
        return False
    figures, others = ([float(each) for each in _FIGURE.findall(_THOUSANDS.sub("", text))[:1000]] for text in (a, b))
    serial = 1 in (len(figures), len(others)) and "." not in a + b
    return figures == others or (serial and sum(map(str.isdigit, a)) >= _SERIAL_DIGITS)
