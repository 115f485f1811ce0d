"""A terminal that texts of others cannot command: what is printed is shown, whatever stands in it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from bon_hydra.names import clean


class Terminal(Console):
    """Rich's console, with control characters that come with a text shown as their codes, or left out (the bell)."""

    @property
    def can_move(self) -> bool:
        """Whether a line can be drawn anew: a terminal, and none that only prints (TERM=dumb)."""
        return self.is_terminal and not self.is_dumb_terminal

    def say(self, line: str, style: str = "") -> None:
        """A line to read. On a terminal it is broken between words, never within one, so that a path can be copied.

        In a pipe or a file it stays one line, for whoever searches it.
        """
        told = line
        if self.is_terminal:
            told = textwrap.fill(
                line, self.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        self.command(told, style)

    def command(self, text: str, style: str = "") -> None:
        """As it is, for a command to be copied; a terminal breaks it where it must."""
        self.print(Text(text, style), soft_wrap=True)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich prints, of whatever it is made; its own commands, such as cursor movements, stay."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else clean(text), style, control)
