"""What every driver is asked for: four candidates to each of so many questions. Standard library only."""

from __future__ import annotations

import sys
from dataclasses import dataclass

CANDIDATES_A_QUESTION = 4
MODEL = "fake-model"
TEMPERATURE = 0.7
MAX_TOKENS = 2048


@dataclass(frozen=True)
class Asked:
    """The driver's command line: URL CANDIDATES CONCURRENCY."""

    url: str
    candidates: int
    concurrency: int

    @property
    def questions(self) -> list[str]:
        """No two of them are equal."""
        count = self.candidates // CANDIDATES_A_QUESTION
        return [f"What is {i}+2? Think step by step, and put the answer in a box." for i in range(count)]


def asked() -> Asked:
    return Asked(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))


def is_answer(text: object) -> bool:
    """Whether it is what the benchmark's server says, whole."""
    return isinstance(text, str) and text.startswith("step0 ") and text.endswith("\\boxed{42}.")
