"""What an export is asked to be: its format, and the choices that each format has."""

from __future__ import annotations

from dataclasses import dataclass

from bon_hydra.checks import nearest
from bon_hydra.schema import ConfigError

FORMATS = ("sft", "preference", "unpaired", "prompts", "jsonl")

OWN = {
    "reasoning": ("sft", "preference", "unpaired"),
    "pairs_per_query": ("preference",),
    "match": ("preference",),
    "seed": ("preference",),
    "answers_per_query": ("sft",),
    "min_pass_rate": ("prompts",),
    "max_pass_rate": ("prompts",),
}
"""The formats that each choice is for; a choice that does nothing is a mistake."""

CHOICES = {"format": FORMATS, "reasoning": ("drop", "think"), "match": ("length", "random")}


@dataclass(frozen=True)
class Options:
    """One export's choices; None is the default. `__init__` raises ConfigError for what makes no sense."""

    format: str
    validation: float = 0.05
    """The share of the questions that is kept for validation."""
    reasoning: str | None = None
    """`drop` (the default) or `think`: leave out what a model thought, or keep it in front of the answer."""
    pairs_per_query: int | None = None
    """At most so many pairs of each prompt; 1."""
    match: str | None = None
    """`length` (the default) or `random`."""
    seed: int | None = None
    """Of random pairs; 0."""
    answers_per_query: int | None = None
    """At most so many verified answers of each prompt; 4."""
    min_pass_rate: float | None = None
    max_pass_rate: float | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ConfigError(
                    f"{flag(name)}: got {value!r}, wanted one of {', '.join(choices)}{nearest(value, choices)}"
                )
        for name, formats in OWN.items():
            if getattr(self, name) is not None and self.format not in formats:
                raise ConfigError(f"{flag(name)}: is for --format {' or '.join(formats)}, and this is {self.format}")
        for name in ("pairs_per_query", "answers_per_query"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{flag(name)}: got {value}, wanted a whole number, 1 or more")
        if not 0 <= self.validation < 1:
            raise ConfigError(f"--validation: got {self.validation:g}, wanted a share of the questions, 0 to below 1")
        for name in ("min_pass_rate", "max_pass_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{flag(name)}: got {value:g}, wanted a rate from 0 to 1")
        low, high = self.pass_rates
        if low > high:
            raise ConfigError(f"--min-pass-rate: got {low:g}, which is above --max-pass-rate {high:g}")

    @property
    def pass_rates(self) -> tuple[float, float]:
        """The lowest and the highest pass rate that a prompt may have."""
        low = 0.0 if self.min_pass_rate is None else self.min_pass_rate
        return low, 1.0 if self.max_pass_rate is None else self.max_pass_rate


def flag(name: str) -> str:
    """The command line's name of a choice."""
    return "--" + name.replace("_", "-")
