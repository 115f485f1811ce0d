"""The values that `--by` groups rows by: a column, or a key of the JSON text in `source_meta`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bon_hydra.schema import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_GROUPS = 100
NONE = "(none)"
"""The group of rows without a value."""
META = "source_meta"


class Labels:
    """Gives each row of a file the name of its group.

    `by` is a column, or a key of `source_meta`, dots going down into nested objects (also where one is a JSON text).
    """

    def __init__(self, by: str, columns: list[str]) -> None:
        self._by = by
        self._columns = columns
        self._is_column = by in columns and by != META
        self._path = by.removeprefix(f"{META}.").split(".")
        self._names: set[str] = set()
        self._keys: set[str] = set()
        if not self._is_column and META not in columns:
            raise self._unknown()

    @property
    def columns(self) -> tuple[str, ...]:
        """What must be read."""
        return (self._by,) if self._is_column else (META,)

    def of(self, rows: pa.Table) -> pa.Array:
        """The names of the rows' groups, dictionary-encoded. Raises ConfigError where they are too many."""
        import pyarrow as pa

        column = rows[self.columns[0]].combine_chunks()
        encoded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
        values = encoded.dictionary.to_pylist()
        names = [self._name(value) if self._is_column else self._meta(value) for value in values]
        known = sorted(set(names))
        self._names.update(known)
        if len(self._names) > MOST_GROUPS:
            raise ConfigError(f"--by {self._by}: more than {MOST_GROUPS} different values, too many to compare")
        place = pa.array([known.index(name) for name in names] or [0], pa.int32())
        codes = encoded.indices.cast(pa.int32())
        if encoded.null_count:
            known.append(NONE)
            codes = codes.fill_null(len(place))
            place = pa.concat_arrays([place, pa.array([len(known) - 1], pa.int32())])
        return pa.DictionaryArray.from_arrays(place.take(codes), pa.array(known, pa.string()))

    def check(self) -> None:
        """Raises ConfigError where no row had a value: the key is a wrong one."""
        if not self._is_column and not self._names - {NONE}:
            raise self._unknown()

    def _name(self, value: Any) -> str:
        return NONE if value is None else str(value)

    def _meta(self, text: str | None) -> str:
        value = _parsed(text)
        if isinstance(value, dict):
            self._keys.update(value)
        for key in self._path:
            value = _parsed(value) if isinstance(value, str) else value
            if not isinstance(value, dict) or key not in value:
                return NONE
            value = value[key]
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else self._name(value)

    def _unknown(self) -> ConfigError:
        keys = f", or a key of {META}: {', '.join(sorted(self._keys))}" if self._keys else ""
        return ConfigError(f"--by {self._by}: no such column, wanted one of {', '.join(self._columns)}{keys}")


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        return text


def in_order(names: list[str]) -> list[str]:
    """Numbers by their size, then texts by the alphabet, then those without a value."""

    def place(name: str) -> tuple[int, float, str]:
        try:
            return 0, float(name), name
        except ValueError:
            return (2 if name == NONE else 1), 0.0, name

    return sorted(names, key=place)
