"""What a run shows while it works, on stderr: moving lines on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from rich.cells import cell_len
from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bon_hydra.report.terminal import Terminal

PLAIN_EVERY_S = 30.0
WINDOW_S = 30.0
"""The rate is that of so many last seconds."""
BAR = 20
"""Columns of the bar."""
ROOM_FOR_BAR = 60
"""A narrower terminal has none."""


class RunProgress:
    """Candidates done of all, their rate, time left, verified share and cost. A context manager.

    Args:
        total: candidates expected; None where nobody knows.
    """

    def __init__(self, total: int | None) -> None:
        self.console = Terminal(stderr=True)
        self._total, self._done = total, 0
        self._told: Sequence[str] = ()
        self._live = Live(get_renderable=self._shown, console=self.console) if self.console.can_move else None
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._plain_due = time.monotonic() + PLAIN_EVERY_S

    def __enter__(self) -> RunProgress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """A line above the moving ones."""
        self.console.say(line, "dim")

    def expect(self, total: int) -> None:
        """Corrects how many candidates there will be, once all queries are read."""
        self._total = total

    def show(
        self,
        done: int,
        scored: int,
        verified: int,
        cost_usd: float | None,
        each_usd: float | None,
        extra: Sequence[str],
    ) -> None:
        """The state of things; `cost_usd` None is unknown, `each_usd` is what one further candidate may cost."""
        now = time.monotonic()
        self._done = done
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        parts = [f"{done:,}/{self._total:,} candidates" if self._total else f"{done:,} candidates", f"{rate:.1f}/s"]
        if self._total and rate:
            parts.append(f"{_clock((self._total - done) / rate)} left")
        parts.append(f"verified {verified / scored:.0%}" if scored else "verified –")
        parts.append("cost unknown" if cost_usd is None else f"${cost_usd:.2f}")
        if cost_usd is not None and each_usd and self._total and done < self._total:
            parts[-1] += f" of about ${cost_usd + each_usd * (self._total - done):.2f}"
        self._told = [*parts, *extra]
        if not self._live and now >= self._plain_due:
            self._plain_due = now + PLAIN_EVERY_S
            self.say(" · ".join(self._told))

    def _shown(self) -> RenderableType:
        """As it is drawn: the bar where there is room for it, and whole parts on as many lines as it takes."""
        width = self.console.width
        if width < ROOM_FOR_BAR:
            return Text("\n".join(_lines(self._told, width)))
        shown = Table.grid(padding=(0, 1, 0, 0))
        bar = ProgressBar(total=self._total, completed=self._done, width=BAR)
        shown.add_row(bar, Text("\n".join(_lines(self._told, width - BAR - 1))))
        return shown


def _lines(parts: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]} · {part}" if lines else part
        if lines and cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
