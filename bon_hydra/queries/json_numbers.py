"""JSON in and out without losing a digit.

A number becomes a float where the float says exactly the same, an int of any size, else a `Decimal`. Knows nothing
of rows or data sets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

ALWAYS_EXACT_CHARS = 16
"""A decimal of this many characters has at most 15 significant digits, which every float keeps."""


def loads(text: str | bytes) -> Any:
    """Parse JSON; `NaN`, `Infinity` and `-Infinity` are read as Python's json reads them.

    Raises:
        ValueError: not JSON, not UTF-8, nested too deeply, or text that UTF-8 cannot hold (half a surrogate pair).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _refuse_surrogates(text, value)
    return value


def iter_array(text: str) -> Iterator[tuple[int, Any]]:
    """(offset, element) of a JSON array, one element in memory at a time.

    Raises:
        ValueError: at the first place that is not JSON; the elements before it have been yielded.
    """
    position = _skip_space(text, _skip_space(text, 0) + 1)
    while position < len(text) and text[position] != "]":
        try:
            value, end = _DECODER.raw_decode(text, position)
        except RecursionError:
            raise ValueError(f"nested too deeply: char {position}") from None
        _refuse_surrogates(text[position:end], value)
        yield position, value
        position = _skip_space(text, end)
        if position < len(text) and text[position] == ",":
            position = _skip_space(text, position + 1)
        elif position < len(text) and text[position] != "]":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
    if position >= len(text):
        raise json.JSONDecodeError("Expecting ']'", text, len(text))
    if (rest := _skip_space(text, position + 1)) < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def dumps(value: Any) -> str:
    """JSON with every number as exact as it was read; keys in their order.

    What JSON has no word for is written as text: NaN and the infinities, dates, bytes.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_not_plain)
    except (TypeError, ValueError):
        return _write(value, ", ", ": ", sort=False)


def canonical(value: Any) -> str:
    """The one JSON text of a value, for hashing: keys sorted, no spaces; floats as their shortest repr."""
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_not_plain
        )
    except (TypeError, ValueError):
        return _write(value, ",", ":", sort=True)


def as_text(value: Any) -> str | None:
    """A column's value as text: text as it is, numbers exactly, lists and objects as JSON; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (dict, list, tuple, bool, int, Decimal)):
        return dumps(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def plain(value: Any) -> Any:
    """The value in types every JSON encoder takes: a `Decimal` becomes the nearest float (text where there is none)."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (Decimal, float)):
        nearest = float(value)
        return nearest if math.isfinite(nearest) else str(value)
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _number(literal: str) -> float | Decimal | str:
    value = float(literal)
    if len(literal) <= ALWAYS_EXACT_CHARS and "e" not in literal and "E" not in literal:
        return value
    try:
        exact = Decimal(literal)
    except InvalidOperation:  # an exponent beyond Decimal's
        return literal
    return value if exact == Decimal(repr(value)) else exact


def _integer(literal: str) -> int | Decimal:
    try:
        return int(literal)
    except ValueError:  # more digits than Python turns into an int
        return Decimal(literal)


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_integer)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\n\r":
        position += 1
    return position


def _refuse_surrogates(text: str, value: Any) -> None:
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise ValueError("holds half a surrogate pair, which is no character") from None


def _not_plain(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} needs the slow way")


def _write(value: Any, comma: str, colon: str, sort: bool) -> str:
    if isinstance(value, dict):
        items = ((str(key), item) for key, item in value.items())
        pairs = sorted(items, key=lambda pair: pair[0]) if sort else items
        written = (_write(k, comma, colon, sort) + colon + _write(v, comma, colon, sort) for k, v in pairs)
        return "{" + comma.join(written) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + comma.join(_write(item, comma, colon, sort) for item in value) + "]"
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: '"Infinity"', -math.inf: '"-Infinity"'}.get(value, '"NaN"')
    if value is None or isinstance(value, (str, int, float)):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value.isoformat() if hasattr(value, "isoformat") else str(value), ensure_ascii=False)
