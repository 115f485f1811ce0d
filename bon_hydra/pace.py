"""How fast a server may be asked, learned from what it refuses (429) where its headers do not say.

Where clearly more is refused than expected, one look does not tell whether by chance or at a limit. So the pace goes to
less than was accepted meanwhile, for as many requests as it takes to tell (`refusals.Trial`):

- the refusals stay, twice: they are the server's habit, expected from then on, and the old pace is back;
- the refusals stop: it is a limit. The pace goes just below it and then follows it, round by round: down to what is
  accepted, a little up while next to nothing is refused, fast where it is far from any refusal;
- nearly all was refused: no habit. The server is left alone for as long as it asks, and then meets one request first.

Only requests sent after a change of pace say something of the new one. Knows no clock and never waits: all times are
given, in seconds.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable

from bon_hydra.refusals import Sent, Stretch, Trial

TOLERATED = 0.03
"""A share of refusals, beyond the habit, that no pace is lowered for; twice the habit where that is more."""
ALARM = 6.0
"""So many refusals beyond the tolerated ones are hardly chance: at a steady tolerated share, one in 10,000."""
CLOSED = 0.85
"""Where this share of a stretch is refused, the server takes nothing just now."""
LOWER = 0.8
"""The part of what was accepted that a trial goes at: low enough for a bucket to fill meanwhile."""
SKIPPED = 5
"""The first requests of a trial meet what those before it left behind, and are not judged."""
BELOW = 0.95
"""The part of what was accepted that the pace goes to at a limit."""
ENOUGH = 12
"""Fewer accepted requests make no estimate of a limit that is worth staying near."""
ROUND_REQUESTS, ROUND_S = 40, 2.0
"""The pace follows a limit after so many requests, and no sooner than that."""
FAR_REQUESTS, FAR = 10, 1.1
"""Far from any refusal so many requests are a round, and the pace is multiplied by this after it."""
FORGOTTEN = 0.99
"""A habit is expected a little less after each round of requests, and so put on trial again after some minutes."""
SLOWEST = 0.05
"""Requests a second."""
WINDOW_S = 60.0
"""What is accepted between two pauses is reckoned over no more than this: the window of a limit a minute."""
MEMORY = 20_000
"""Requests that are remembered."""
PAUSE_S = (0.5, 10.0)
"""The first pause where the server names none, doubled with each refused probe, and the longest."""
PROBE_S = 3.0
"""A probe that is not refused by then is taken: refusals come soon, answers may take minutes."""


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
        self._number = self._changed = 0  # requests sent; those before the last change of pace
        self._sent: deque[Sent] = deque(maxlen=MEMORY)
        self._excess: Stretch | None = None  # in which more is refused than is tolerated
        self._round = Stretch(0.0, 0)
        self._trial: Trial | None = None
        self._opened = -math.inf
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
            if now < self._probe.at + PROBE_S:
                return self._probe.at + PROBE_S - now
            self._open(self._probe, now)
        if self._closed_until is not None:
            return max(0.0, self._closed_until - now)
        return max(0.0, self._next_at - now) if self._rate else 0.0

    def send(self, now: float) -> Sent:
        """One request goes; `wait` has just been 0."""
        sent = Sent(now, self._number)
        self._number += 1
        self._sent.append(sent)
        if self._rate:
            self._next_at = max(self._next_at, now - 0.05) + 1 / self._rate  # a late timer is made up for
        if self._closed_until is not None:
            self._closed_until, self._probe = None, sent
        return sent

    def accepted(self, sent: Sent, now: float) -> None:
        """The server took the request: its answer is there."""
        if sent is self._probe:
            self._open(sent, now)
        self._settle(sent, now, None)

    def ended(self, sent: Sent, _: float) -> None:
        """The request failed in a way that says nothing of limits, or was given up."""
        if sent is self._probe:
            self._probe = None

    def refused(self, sent: Sent, now: float, retry_after_s: float | None) -> None:
        """The server did not take the request, and perhaps said when to come again."""
        sent.refused = True
        if sent is self._probe:
            self._probe = None
            self._pause = min(PAUSE_S[1], 2 * self._pause)
            self._close(now, retry_after_s)
        elif self._probe is None and self._closed_until is None and sent.number >= self._changed:
            if self._trial is None and (self._excess is None or self._excess.beyond(self._tolerated) <= 0):
                self._excess = Stretch(sent.at, sent.number)
            self._settle(sent, now, retry_after_s)

    @property
    def _tolerated(self) -> float:
        """The share of refusals that no pace is lowered for."""
        return self._habit + max(TOLERATED, self._habit)

    def _settle(self, sent: Sent, now: float, retry_after_s: float | None) -> None:
        """Takes in what became of a request, and draws conclusions."""
        for stretch in (self._excess, self._round, self._trial.here if self._trial else None):
            if stretch is not None:
                stretch.count(sent)
        if self._trial is not None:
            self._judge(self._trial, now, retry_after_s)
        elif self._excess is not None and self._excess.beyond(self._tolerated) >= ALARM:
            taken, known_by = self._taken(self._excess.since, now)
            self._try_lower(self._excess, taken, known_by, now, retry_after_s)
        elif now - self._round.since >= ROUND_S:
            self._follow(self._round, now)

    def _taken(self, since: float, until: float) -> tuple[float, int]:
        """Requests a second, and how many, of those sent meanwhile that were not refused as far as is known."""
        since = max(since, self._sent[0].at)
        taken = sum(not sent.refused for sent in self._sent if since <= sent.at <= until)
        return taken / max(0.1, until - since), taken

    def _try_lower(self, of: Stretch, taken: float, known_by: int, now: float, retry_after_s: float | None) -> None:
        """Goes below what was taken while so much was refused, to see whether that helps."""
        if of.share >= CLOSED:
            self._close(now, retry_after_s)
            return
        last = self._trial or Trial(0, 0, of.at_least, self._rate, 0, 0, of)
        rate = self._change(LOWER * taken, now)
        here = Stretch(now, self._number + SKIPPED)
        refused, seen = last.all_refused, last.all_seen
        self._trial = Trial(refused, seen, last.share, last.old_rate, known_by, last.which + 1, here)
        told = f"{of.share:.0%} of the requests were refused (429)"
        self._say(f"{told}: {60 * rate:,.0f} a minute from now on, to see whether that helps")

    def _judge(self, trial: Trial, now: float, retry_after_s: float | None) -> None:
        """Ends a trial as soon as it tells something."""
        rate, here = self._rate or SLOWEST, trial.here
        if trial.fell():
            self._at_limit(rate / LOWER, trial.known_by, now)
        elif trial.stayed() and trial.is_habit():
            self._habit, self._refused_at = trial.all_refused / trial.all_seen, None
            self._free(now) if trial.old_rate is None else self._change(trial.old_rate, now)
            self._say(f"{self._habit:.0%} of the requests are refused (429) whatever the pace: going on as before")
        elif trial.stayed():
            self._try_lower(here, rate * (1 - here.at_least), here.seen - here.refused, now, retry_after_s)

    def _at_limit(self, taken: float, known_by: int, now: float) -> None:
        """Goes just below what the server takes."""
        self._refused_at = max(SLOWEST, taken) if known_by >= ENOUGH else None
        rate = self._change(BELOW * taken, now)
        self._say(f"the server takes {60 * taken:,.0f} requests a minute: {60 * rate:,.0f} from now on")

    def _follow(self, ended: Stretch, now: float) -> None:
        """Brings the pace nearer to the limit after a round of requests."""
        near = self._refused_at is not None and 0.9 < (self._rate or 0.0) / self._refused_at < 1.1
        far = self._rate is not None and not near
        if ended.refused + ended.accepted < (FAR_REQUESTS if far and not ended.refused else ROUND_REQUESTS):
            return
        sent = self._number - ended.first
        share = ended.refused / sent
        self._habit *= FORGOTTEN if share > self._habit / 2 else FORGOTTEN**10
        self._round = Stretch(now, self._number)
        if self._rate is None:
            return
        room = self._tolerated - share
        if far and room >= self._tolerated / 2:
            self._rate *= FAR
        elif room >= 0:
            self._rate *= 1 + room / 2
        else:
            self._refused_at = self._rate
            self._rate = max(SLOWEST, self._rate * (1 - share) / (1 - self._tolerated))
        if self._rate > 2 * sent / (now - ended.since):
            self._refused_at = None
            self._free(now)
            self._say("no refusals for a while: the pace is free again")

    def _change(self, rate: float, now: float) -> float:
        """Sets the pace of the requests sent from now on; what it is."""
        self._free(now)
        self._rate = max(SLOWEST, rate)
        self._next_at = now + 1 / self._rate
        return self._rate

    def _free(self, now: float) -> None:
        self._rate = self._trial = self._excess = None
        self._changed = self._number
        self._round = Stretch(now, self._number)

    def _close(self, now: float, retry_after_s: float | None) -> None:
        """Leaves the server alone, for as long as it asks or until a probe is taken."""
        seconds = retry_after_s or self._pause
        self._closed_until = now + seconds + self._jitter() * min(1.0, 0.2 * seconds)
        self._trial = self._excess = None
        self._opened = max(self._opened, now - WINDOW_S)
        asked = "as the server asks" if retry_after_s else "the server does not say how long"
        self._say(f"the server refused (429): paused {seconds:.1f} s, {asked}")

    def _open(self, probe: Sent, now: float) -> None:
        """The probe was taken: from now on the pace of what was taken since the last time."""
        self._probe, self._pause = None, PAUSE_S[0]
        self._at_limit(*self._taken(self._opened, probe.at), now)
        self._opened = probe.at
