"""JSON for columns that `datasets` reads: spelt so that its reader gets every number as it was.

`datasets` reads its `Json` type with pandas' ujson, which takes `0.95` for 0.9500000000000001 but `950000e-6` for 0.95,
and cannot hold whole numbers beyond 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any


def dumps(value: Any) -> str:
    """The JSON text of `value`; a float that no spelling carries exactly is read as one of its neighbours.

    Raises:
        ValueError: the value holds a number, or nests so deeply, that `datasets` could not read it.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _refuse_long_integers(value)
    try:
        text.encode()
    except UnicodeEncodeError:  # halves of surrogate pairs, which models do send
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if _read(text) == value else _spelt(json.loads(text))


def _read(text: str) -> Any:
    from pandas.io import json as pandas_json

    return getattr(pandas_json, "ujson_loads")(text)  # noqa: B009 - the stubs do not know it


def _refuse_long_integers(value: Any) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _refuse_long_integers(item)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError(f"the number {value} has more than 64 bits")


def _spelt(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {_spelt(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_spelt(item) for item in value) + "]"
    if isinstance(value, float):
        return next((text for text in _spellings(value) if _read(text) == value), repr(value))
    return json.dumps(value, ensure_ascii=False)


def _spellings(number: float) -> Iterator[str]:
    """The same number in JSON in other words, all of which every exact reader takes for it."""
    yield repr(number)
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    mantissa = "-" * sign + "".join(map(str, digits))
    for zeros in range(19 - len(digits)):
        yield f"{mantissa}{'0' * zeros}e{int(exponent) - zeros}"
    yield f"{number:.17g}"
    yield f"{number:.17e}"
