"""What an export has put into its folder, counted while it is written."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Contents:
    """What went into the folder, for its card."""

    plain: bool = True
    """No tools, and no message with more than a role and a text."""
    rows: Counter[str] = field(default_factory=Counter)
    """By side."""
    queries: Counter[str] = field(default_factory=Counter)
    """By side, those that gave rows."""
    splits: Counter[str] = field(default_factory=Counter)
    """Rows by the data set's own split."""
    lengths: dict[str, array[int]] = field(default_factory=dict)
    """Characters of each answer, by what it is: completion, chosen, rejected."""
    left_out: Counter[str] = field(default_factory=Counter)
    verifiers: set[str] = field(default_factory=set)
