"""How fast a server may be asked, learned from what it refuses (429) where its headers do not say.

The pace falls only where that helps. Where more is refused than before, the pace goes to what was accepted meanwhile;
where as large a share is refused at that pace too, it is the server's habit: it is expected from then on, and the pace
goes back up. Quiet raises it: slowly near where it was refused, quickly elsewhere. Where one refusal follows another
and nothing is accepted, the server is left alone for as long as it asks, and then meets one request first.

Knows no clock and never waits: all times are given, in seconds.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 3.0
"""What became of the requests of so long, and of as many as below, is looked at together."""
WINDOW_REQUESTS = 20
LONGEST_S = 15.0
"""A window is no longer than this, however few its requests."""
MEMORY_S = 10.0
"""What is accepted is reckoned over so long."""
TOLERATED = 0.03
"""A share of refusals that no pace is lowered for."""
HABIT = 0.3
"""A server that refuses more than this, whatever the pace, is at a limit all the same."""
SAME = 0.6
"""At what was accepted, a limit refuses next to nothing; a habit refuses as much as before, give or take."""
BELOW = 0.95
"""This part of what was accepted meanwhile is the new pace."""
NEAR, FAR = 1.005, 1.1
"""What a quiet window multiplies the pace by: near the pace that was refused last, and elsewhere."""
SLOWEST = 0.05
"""Requests a second."""
STREAK = 8
"""So many refusals in a row, and none accepted, are no chance."""
PAUSE_S = (0.5, 30.0)
"""The first pause where the server names none, doubled with each refused probe, and the longest."""


@dataclass(slots=True, eq=False)
class Sent:
    """One request under way."""

    at: float


class Pace:
    """Requests a second that one server takes, and when it takes none.

    Args:
        say: gets one plain line for each pause and change of pace.
        jitter: draws from 0 to 1, so that many processes do not come back as one.
    """

    def __init__(self, say: Callable[[str], None], jitter: Callable[[], float] = random.random) -> None:
        self._say, self._jitter = say, jitter
        self._rate: float | None = None
        self._refused_at: float | None = None  # the pace that was refused last
        self._next_at = 0.0
        self._habit = 0.0
        self._trial: tuple[float, float | None] | None = None  # the share that was refused, and the pace before
        self._started: float | None = None  # the window
        self._first = 0.0
        self._answers: deque[float] = deque()
        self._accepted = self._refused = self._streak = 0
        self._closed_until: float | None = None
        self._probe: Sent | None = None
        self._pause = PAUSE_S[0]

    def rate(self, _: float = 0.0) -> float | None:
        """Requests a second; None where nothing is known against any pace."""
        return self._rate

    def paused(self, now: float) -> float:
        """Seconds that the server is to be left alone yet, 0 where it is not."""
        return max(0.0, self._closed_until - now) if self._closed_until is not None else 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next request may be sent, 0 where it may; to be asked again whenever something arrived."""
        if self._probe is not None:
            return 1.0
        if self._closed_until is not None:
            return max(0.0, self._closed_until - now)
        return max(0.0, self._next_at - now) if self._rate else 0.0

    def send(self, now: float) -> Sent:
        """One request goes; `wait` has just been 0."""
        if self._started is None:
            self._started = self._first = now
        sent = Sent(now)
        if self._rate:
            self._next_at = max(self._next_at, now - 0.05) + 1 / self._rate  # a late timer is made up for
        if self._closed_until is not None:
            self._closed_until, self._probe = None, sent
        return sent

    def accepted(self, sent: Sent, now: float) -> None:
        """The server took the request: its answer is there."""
        self._accepted += 1
        self._answers.append(now)
        self._streak, self._pause = 0, PAUSE_S[0]
        if sent is self._probe:
            self._probe = None
        self._look(now)

    def ended(self, sent: Sent, _: float) -> None:
        """The request failed in a way that says nothing of limits, or was given up."""
        if sent is self._probe:
            self._probe = None

    def refused(self, sent: Sent, now: float, retry_after_s: float | None) -> None:
        """The server did not take the request, and perhaps said when to come again."""
        self._refused += 1
        self._streak += 1
        if sent is self._probe:
            self._probe = None
            self._pause = min(PAUSE_S[1], 2 * self._pause)
            self._close(now, retry_after_s)
        elif self._streak >= STREAK and self._closed_until is None and self._probe is None:
            self._close(now, retry_after_s)
            self._look(now, at_once=True)
        else:
            self._look(now)

    def _close(self, now: float, retry_after_s: float | None) -> None:
        seconds = retry_after_s or self._pause
        self._closed_until = now + seconds + self._jitter() * min(1.0, 0.2 * seconds)
        self._streak = 0
        asked = "as the server asks" if retry_after_s else "the server does not say how long"
        self._say(f"refused (429): paused {seconds:.1f} s, {asked}")

    def _look(self, now: float, at_once: bool = False) -> None:
        """Draws conclusions from a window that is long enough."""
        assert self._started is not None
        seconds, seen = now - self._started, self._accepted + self._refused
        if not at_once and (seconds < WINDOW_S or (seen < WINDOW_REQUESTS and seconds < LONGEST_S)):
            return
        while self._answers and self._answers[0] < now - MEMORY_S:
            self._answers.popleft()
        if at_once and len(self._answers) < STREAK:
            return  # nothing is known yet of what it takes: the pause and the probe must do
        share, taken = self._refused / seen, len(self._answers) / max(1.0, min(MEMORY_S, now - self._first))
        expected = self._habit * seen
        more = self._refused - expected > max(TOLERATED * seen, 2.5 * (expected * (1 - self._habit)) ** 0.5)
        if self._trial is not None and not at_once:
            before, pace = self._trial
            self._trial = None
            if more and SAME * before <= share <= HABIT:
                self._habit, self._rate, self._refused_at = share, pace, None
                self._say(f"{share:.0%} are refused (429) whatever the pace: going on as before")
        elif more:
            self._trial = (share, self._rate)
            self._refused_at = max(SLOWEST, taken / (1 - self._habit))
            self._rate = max(SLOWEST, BELOW * self._refused_at)
            self._next_at = now + 1 / self._rate
            self._say(f"{share:.0%} refused (429): {60 * self._rate:,.0f} requests a minute from now on")
        elif self._rate is not None:
            near = self._refused_at is not None and 0.9 < self._rate / self._refused_at < 1.1
            self._rate *= NEAR if near else FAR
            if self._rate > 3 * taken + 1:
                self._rate = self._refused_at = None
                self._say("no refusals for a while: the pace is free again")
        if share < self._habit:
            self._habit += (share - self._habit) / 10
        self._started, self._accepted, self._refused = now, 0, 0
