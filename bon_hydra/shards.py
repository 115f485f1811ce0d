"""`dataset.shard=i/k`: a data set cut into k parts, for as many runs of one job array.

Part i has the i-th query of every k, counted after duplicates are gone and within `max_queries`; so the parts together
are what one run without it would ask, in an order that is known, and no two share a query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bon_hydra.schema import ConfigError


@dataclass(frozen=True, order=True)
class Shard:
    """Part `number` (from 1) of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, position: int) -> bool:
        """Whether the query at this position of its split (from 0) is in this part."""
        return position % self.of == self.number - 1

    def size(self, queries: int) -> int:
        """How many of so many queries are in this part."""
        return (queries - self.number) // self.of + 1


WHOLE = Shard(1, 1)


def shard_of(text: str | None) -> Shard:
    """What `dataset.shard` says; null is the whole.

    Raises:
        ConfigError: it is no `i/k`.
    """
    if text is None:
        return WHOLE
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(
            f"dataset.shard: got {text!r}, wanted i/k with i from 1 to k, such as 2/8; null for the whole"
        )
    return Shard(int(found[1]), int(found[2]))
