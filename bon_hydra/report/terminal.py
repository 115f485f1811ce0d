"""A terminal that texts of others cannot command: what is printed is shown, whatever stands in it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bon_hydra.names import clean


class Terminal(Console):
    """Rich's console, with control characters that come with a text shown as their codes, or left out (the bell)."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich prints, of whatever it is made; its own commands, such as cursor movements, stay."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else clean(text), style, control)
