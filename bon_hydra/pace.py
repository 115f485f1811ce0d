"""How fast a server may be asked, learned from what it refuses (429) where its headers do not say.

A refusal pauses: nothing is sent until the server's Retry-After is over, then one probe, then the rest; unless
meanwhile the server takes a request that was sent after the one it refused.

The pace falls only where that helps. Of a server that is at its limit, slowing down to what it accepts ends the
refusals; of one that refuses at random, it changes nothing. So the first unexpected refusal lowers the pace a
little; where refusals go on, the pace goes to what was accepted meanwhile; and where the share of refusals is still
the same there, it is taken for the server's habit, expected from then on, and the pace goes back up.

Quiet raises the pace: quickly back to where it was refused, slowly past it, then ever faster (the curve of TCP CUBIC,
RFC 9438). Knows no clock and never waits: all times are given, in seconds.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

SLOWER = 0.9
"""The first step down."""
BELOW = 0.95
"""Refusals at less than this part of the pace that was refused are not for the pace."""
MUCH_SLOWER = 0.7
"""The step down that tells a limit from a habit: at a limit, it ends the refusals at once."""
PAST = 0.97
TOLERATED = 0.01
"""A share of refusals that no pace is lowered for."""
HABIT = 0.3
"""A server that refuses more than this is at a limit, whatever it looks like."""
ALARM = 5.0
"""Log likelihood ratio at which refusals are more than expected."""
CERTAIN = 3.0
"""Log likelihood ratio at which a trial is over."""
SURPRISE = 0.001
"""Refusals in a row that are as improbable as this pause the run."""
CURVE_S = 25.0
"""The curve doubles the pace this long after its flat part."""
CURVE_REQUESTS = 60.0
"""… or after this many requests, where they are rare: what a refusal costs must stay small beside what is sent."""
BACK_S = 5.0
"""… and this long after a habit was found, for then the pace was lowered in vain."""
PAUSE_S = (0.5, 20.0)
"""The first pause where the server names none, doubled with each refused probe, and the longest."""
PATIENCE_S = 0.25
RECENT_S = 5.0
RARE = 0.0003


@dataclass(slots=True, eq=False)
class Sent:
    """One request under way."""

    at: float
    epoch: int
    refused: bool | None = None
    """None: not known yet."""
    retry_after_s: float | None = None
    settled: bool = False
    """What became of it has been counted, or says nothing."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What became of the requests sent at one pace; pauses are part of it."""

    pace: float
    requests: int
    refusals: int

    @property
    def share(self) -> float:
        """Refused, without the last refusal: counting often ends with one."""
        return max(0, self.refusals - 1) / max(1, self.requests - 1)

    def likelihood(self, share: float) -> float:
        """Log likelihood, if that share of all requests is refused."""
        share = min(max(share, RARE), 1 - RARE)
        return self.refusals * math.log(share) + (self.requests - self.refusals) * math.log(1 - share)


@dataclass(slots=True)
class Trial:
    """Whether a slower pace ends the refusals: one stretch after another, each slower."""

    before: float
    stretches: list[Stretch] = field(default_factory=list)


def if_habit(stretches: Sequence[Stretch]) -> tuple[float, float]:
    """If the server refuses a fixed share: that share, and its log likelihood."""
    share = sum(s.refusals for s in stretches) / sum(s.requests for s in stretches)
    return share, sum(s.likelihood(share) for s in stretches)


def if_limit(stretches: Sequence[Stretch], habit: float) -> tuple[float, float]:
    """If it accepts so many requests a second and refuses the rest: the most likely limit, and its log likelihood."""
    highest = max(s.pace for s in stretches)

    def likelihood(limit: float) -> float:
        return sum(s.likelihood(habit + (1 - habit) * max(0.0, 1 - limit / s.pace)) for s in stretches)

    best = max((highest * 0.97**step for step in range(100)), key=likelihood)
    return best, likelihood(best)


class Pace:
    """Requests a second that one server takes, and when it takes none.

    Args:
        say: gets one plain line for each pause and change of pace.
        jitter: draws from 0 to 1, so that many processes do not come back as one.
    """

    def __init__(self, say: Callable[[str], None], jitter: Callable[[], float] = random.random) -> None:
        self._say, self._jitter = say, jitter
        self._rate: float | None = None  # a second, when last changed; None: as fast as you like
        self._reference: float | None = None
        self._since = 0.0  # when the curve began
        self._scale = CURVE_S
        self._next_at = 0.0
        self._trial: Trial | None = None
        self._habit = 0.0  # the share refused whatever the pace
        self._alarm = 0.0
        self._streak = 0
        self._share = 0.0  # of late
        self._limited = False  # a limit has been found
        self._limit = 0.0  # the one found
        self._lone: list[int] = []  # requests accepted before each refusal that came singly since
        self._accepted, self._alarm_at = 0, 0.0  # since the last alarm
        # What became of the requests sent since the pace was last set.
        self._epoch, self._epoch_at, self._requests, self._refusals, self._closures = 0, 0.0, 0, 0, 0
        # A refusal comes quickly, an answer may take minutes: who was not refused within this time is taken.
        self._patience = PATIENCE_S
        self._waiting: deque[Sent] = deque()
        self._recent: deque[float] = deque()
        self._closed_until: float | None = None
        self._closed_by_server = False
        self._pause = PAUSE_S[0]
        self._probe: Sent | None = None
        self._last_refused_at = 0.0

    def rate(self, now: float) -> float | None:
        """Requests a second; None where nothing is known against any pace."""
        if self._rate is None or self._reference is None or self._trial:
            return self._rate
        flat = math.cbrt(1 - self._rate / self._reference)
        return self._reference * (1 + ((now - self._since) / self._scale - flat) ** 3)

    def paused(self, now: float) -> float:
        """Seconds that the server wants to be left alone yet, 0 where it does not."""
        return max(0.0, self._closed_until - now) if self._closed_until and self._closed_by_server else 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next request may be sent, 0 where it may; to be asked again whenever something arrived."""
        self._settle(now)
        if self._probe:
            return self._probe.at + self._patience - now
        if self._closed_until is not None:
            return max(0.0, self._closed_until - now)
        return max(0.0, self._next_at - now) if self._rate else 0.0

    def send(self, now: float) -> Sent:
        """One request goes; `wait` has just been 0."""
        rate = self.rate(now)
        sent = Sent(now, self._epoch)
        self._waiting.append(sent)
        self._recent.append(now)
        while len(self._recent) > 20 and self._recent[0] < now - RECENT_S:
            self._recent.popleft()
        if rate:
            # What a late timer cost is made up for, up to a moment.
            self._next_at = max(self._next_at, now - 0.05) + 1 / rate
            if self._reference and rate > 2 * self._reference and rate > 3 * self._sending(now):
                self._rate = self._reference = None
                self._limited = False
                self._say("no refusals for a while: the pace is free again")
        if self._closed_until is not None:
            self._closed_until, self._probe = None, sent
        return sent

    def accepted(self, sent: Sent, now: float) -> None:
        """The server took the request: its answer is there."""
        self._pause = PAUSE_S[0]
        sent.refused = False
        self._taken(sent, now)
        self._settle(now)

    def ended(self, sent: Sent, now: float) -> None:
        """The request failed in a way that says nothing of limits, or was given up."""
        sent.settled = True
        if sent is self._probe:
            self._probe, self._closed_until = None, now  # the next one is the probe

    def refused(self, sent: Sent, now: float, retry_after_s: float | None) -> None:
        """The server did not take the request, and perhaps said when to come again."""
        self._patience = max(PATIENCE_S, 1.5 * (now - sent.at), 0.95 * self._patience)
        self._last_refused_at = max(self._last_refused_at, sent.at)
        if sent is self._probe:  # tells that the pause was short, not that the pace was fast
            sent.settled, self._probe = True, None
            self._pause = min(PAUSE_S[1], 2 * self._pause)
            self._close(now, retry_after_s)
            return
        late, sent.refused, sent.retry_after_s = sent.settled, True, retry_after_s
        if self._closed_until is not None:
            if retry_after_s and now + retry_after_s > self._closed_until + 0.5:
                self._close(now, retry_after_s)
        elif sent.epoch == self._epoch and self._share < SURPRISE:
            self._pause_for(sent, now)
        if late:  # silence was not consent
            self._count(sent, 0, now)
        self._settle(now)

    def _pause_for(self, sent: Sent, now: float) -> None:
        if self._closed_until is None and self._probe is None:
            self._closures += 1
            self._close(now, sent.retry_after_s)

    def _close(self, now: float, retry_after_s: float | None) -> None:
        seconds = retry_after_s or self._pause
        self._closed_until = now + seconds + self._jitter() * min(1.0, 0.2 * seconds)
        self._closed_by_server = retry_after_s is not None
        asked = "as the server asks" if retry_after_s else "the server does not say how long"
        self._say(f"refused (429): paused {seconds:.1f} s, {asked}")

    def _open(self, now: float) -> None:
        self._closed_until = self._probe = None
        if rate := self.rate(now):
            self._next_at = now + 1 / rate

    def _taken(self, sent: Sent, now: float) -> None:
        if sent is self._probe or (self._closed_until is not None and sent.at > self._last_refused_at):
            self._open(now)

    def _settle(self, now: float) -> None:
        """Counts outcomes in the order of sending: refusals come sooner, and would look like more than they are.

        Takes silence for consent.
        """
        while self._waiting:
            sent = self._waiting[0]
            if not sent.settled and sent.refused is None:
                if sent.at > now - self._patience:
                    break
                self._taken(sent, now)
            self._waiting.popleft()
            if not sent.settled:
                sent.settled = True
                self._count(sent, 1, now)

    def _count(self, sent: Sent, requests: int, now: float) -> None:
        """Draws conclusions from one outcome."""
        refused = bool(sent.refused)
        self._accepted += requests - refused
        if sent.epoch != self._epoch:
            return
        self._requests += requests
        self._refusals += refused
        self._streak = self._streak + 1 if refused else 0
        if refused and max(self._share, self._habit) ** self._streak < SURPRISE:
            self._pause_for(sent, now)
        self._share += (refused - self._share) / 100
        if self._trial:
            self._try(self._trial, sent, now)
            return
        expected = max(self._habit, RARE if self._limited else TOLERATED)
        self._alarm = max(0.0, self._alarm + _evidence(refused, min(0.9, 2 * expected + 0.05), expected))
        if self._alarm >= ALARM:
            self._slow_down(sent, now)

    def _slow_down(self, sent: Sent, now: float) -> None:
        pace = min(self.rate(now) or math.inf, self._sending(now))
        # From one alarm to the next a bucket goes from full to full: what it took meanwhile is what it leaks.
        leaked = self._accepted / max(now - self._alarm_at, 1.0)
        self._lone.append(self._accepted)
        self._alarm_at, self._accepted = now, 0
        if (
            self._limited
            and pace < 0.8 * self._limit
            and len(self._lone) >= 4
            and statistics.stdev(self._lone) > 0.5 * statistics.mean(self._lone)
        ):
            # Singly, at ever slower a pace, and after now few and now many requests: that is not how a limit shows.
            self._habit = min(HABIT, max(self._habit, 1 / max(1.0, statistics.mean(self._lone))))
            self._give_back(self._limit, now)
            return
        self._trial = Trial(pace)
        self._pause_for(sent, now)
        self._set(SLOWER * pace, min(PAST, max(0.93, leaked / pace)) * pace, now)

    def _try(self, trial: Trial, sent: Sent, now: float) -> None:
        many = self._refusals >= (3 if self._habit < TOLERATED else 8) and self._requests >= 8
        if not many and self._requests < (25 if self._limited else 80) * (self._refusals + 1):
            return
        assert self._rate
        assert self._reference
        elapsed = max(sent.at - self._epoch_at, 1 / self._rate)
        stretch = Stretch(self._requests / elapsed, self._requests, self._refusals)
        trial.stretches.append(stretch)
        share, by_habit = if_habit(trial.stretches)
        limit, by_limit = max(
            (if_limit(trial.stretches, habit) for habit in (0.0, self._habit)), key=lambda fit: fit[1]
        )
        if by_habit > by_limit + CERTAIN and share <= HABIT:
            self._habit = share
            self._give_back(trial.before, now)
        elif (
            many
            and self._habit > TOLERATED
            and (sum(s.likelihood(self._habit) for s in trial.stretches) > by_limit - 0.5)
        ):
            self._give_back(trial.before, now)  # a false alarm
        elif many:
            accepted = stretch.pace * (1 - stretch.share)
            down = SLOWER if stretch.share > HABIT or (self._limited and len(trial.stretches) == 1) else MUCH_SLOWER
            slower = max(self._rate / 4, min(SLOWER * self._rate, down * accepted))
            self._set(slower, slower / SLOWER, now)
        else:
            burst = len(trial.stretches) > 1
            self._habit = min(self._habit, self._refusals / self._requests)
            if burst:
                self._reference, self._rate = limit, SLOWER * limit
            if burst or not self._limited:
                self._limited, self._limit, self._lone = True, self._reference, []
            self._end_trial(now)

    def _give_back(self, pace: float, now: float) -> None:
        self._rate = self._reference = pace
        self._limited = False
        self._end_trial(now)
        self._scale = BACK_S
        self._say(f"the server refuses {self._habit:.1%} whatever the pace: not slowing down for that")

    def _end_trial(self, now: float) -> None:
        self._trial = None
        self._alarm = 0.0
        self._since = now
        self._scale = max(CURVE_S, CURVE_REQUESTS / (self._reference or math.inf))
        self._new_epoch(now)

    def _set(self, rate: float, reference: float, now: float) -> None:
        self._rate, self._reference, self._since = max(0.01, rate), max(0.01, reference), now
        self._alarm = 0.0
        self._next_at = now + 1 / self._rate
        self._new_epoch(now)
        self._say(f"pace {60 * self._rate:.0f} requests a minute after refusals")

    def _new_epoch(self, now: float) -> None:
        self._epoch += 1
        self._epoch_at, self._requests, self._refusals, self._closures = now, 0, 0, 0

    def _sending(self, now: float) -> float:
        """Requests a second of late."""
        return len(self._recent) / max(0.5, now - self._recent[0]) if self._recent else 0.0


def _evidence(refused: bool, one: float, other: float) -> float:
    """Log likelihood ratio of one outcome, between two shares of refusals."""
    return math.log(one / other) if refused else math.log((1 - one) / (1 - other))
