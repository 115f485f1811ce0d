"""What a run shows while it works, on stderr: a moving line on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bon_hydra.report.terminal import Terminal

PLAIN_EVERY_S = 30.0
WINDOW_S = 30.0
"""The rate is that of so many last seconds."""


class RunProgress:
    """Candidates done of all, their rate, time left, verified share and cost. A context manager.

    Args:
        total: candidates expected; None where nobody knows.
    """

    def __init__(self, total: int | None) -> None:
        self.console = Terminal(stderr=True)
        self._live = self.console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            console=self.console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("candidates", total=total, told="")
        self._total = total
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._plain_due = time.monotonic() + PLAIN_EVERY_S

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """A line above the moving one."""
        self.console.print(line, style="dim", highlight=False, markup=False, emoji=False, soft_wrap=True)

    def expect(self, total: int) -> None:
        """Corrects how many candidates there will be, once all queries are read."""
        self._total = total
        self._bar.update(self._task, total=total)

    def show(
        self, done: int, scored: int, verified: int, cost_usd: float | None, each_usd: float | None, extra: str = ""
    ) -> None:
        """The state of things; `cost_usd` None is unknown, `each_usd` is what one further candidate may cost."""
        now = time.monotonic()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        parts = [f"{rate:.1f}/s"]
        if self._total and rate:
            parts.append(f"{_clock((self._total - done) / rate)} left")
        parts.append(f"verified {verified / scored:.0%}" if scored else "verified –")
        parts.append("cost unknown" if cost_usd is None else f"${cost_usd:.2f}")
        if cost_usd is not None and each_usd is not None and self._total and done < self._total:
            parts[-1] += f" of about ${cost_usd + each_usd * (self._total - done):.2f}"
        if extra:
            parts.append(extra)
        told = " · ".join(parts)
        self._bar.update(self._task, completed=done, told=told)
        if not self._live and now >= self._plain_due:
            self._plain_due = now + PLAIN_EVERY_S
            self.say(f"{done}/{self._total or '?'} candidates · {told}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
