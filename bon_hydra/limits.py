"""How many requests at once, and how many requests and tokens a minute: as configured, as the server's headers say,
and as its refusals teach. Whichever is lowest holds.

Built inside the running event loop. Does not know what is asked, or of whom.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from aiolimiter import AsyncLimiter

from bon_hydra.pace import Pace
from bon_hydra.rate_headers import Allowance, allowances

QUANTA_PER_SECOND = 10.0
"""Tokens a minute are granted in quanta of a tenth of a second's worth: a bucket that small allows no burst."""
FIRST_AT_ONCE = 8
"""Requests in flight at the very start; each answer adds one, and each second doubles them, up to the concurrency."""
HEADROOM = 0.97
"""The part of what a server says it allows that is used: its clock and the way there are not ours."""
SLOWEST = 0.1
"""However little a server says is left, this part of its limit is tried."""


class Limiter(Protocol):
    """What hands out the units of a configured limit evenly."""

    async def acquire(self) -> None:
        """Returns when one unit may be used."""


def own_limiter(_: str, rate: float) -> Limiter:
    """For this process alone; `rate` in units a second.

    (1, 1 / rate) and not (60 * rate, 60), which would let a whole minute's requests through at once.
    """
    return AsyncLimiter(1, 1 / rate)


class Turn:
    """One request's right to be sent, and what became of it."""

    def __init__(self, limits: Limits, tokens: float, reserved: float) -> None:
        self._limits, self._tokens, self._reserved = limits, tokens, reserved
        self._sent = limits._pace.send(limits._now())
        self._done = False

    def answered(self, used_tokens: int | None, headers: Mapping[str, str]) -> None:
        """The server answered, with status 200; `used_tokens` of prompt and answer, None where it does not say."""
        self._done = True
        self._limits._pace.accepted(self._sent, self._limits._now())
        if used_tokens is not None:
            self._limits._learn_tokens(self._tokens, used_tokens)
            self._limits._correct(used_tokens - self._reserved)
        own = {"requests": 1.0, "tokens": self._reserved if used_tokens is None else used_tokens}
        self._limits._learn(headers, self._sent.at, own)

    def refused(self, headers: Mapping[str, str], retry_after_s: float | None) -> None:
        """The server refused to be asked so often (429), and perhaps said for how long."""
        self._done = True
        self._limits._learn(headers, self._sent.at, {})
        self._limits._correct(-self._reserved)
        self._limits._pace.refused(self._sent, self._limits._now(), retry_after_s)

    def _end(self) -> None:
        if not self._done:
            self._limits._pace.ended(self._sent, self._limits._now())


class Limits:
    """Concurrency, requests a minute and tokens a minute together.

    Args:
        concurrency: requests in flight at once.
        requests_per_minute, tokens_per_minute: upper bounds; None is none. What the server says or teaches lowers
            the pace below them and never raises it above.
        say: gets one plain line for each pause and change of pace.
        limiter: makes what hands out `requests` or `tokens` at so many units a second.
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        say: Callable[[str], None] = lambda _: None,
        limiter: Callable[[str, float], Limiter] = own_limiter,
    ) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._requests = limiter("requests", requests_per_minute / 60) if requests_per_minute else None
        self._tokens = limiter("tokens", QUANTA_PER_SECOND) if tokens_per_minute else None
        self._quantum = (tokens_per_minute or 0) / 60 / QUANTA_PER_SECOND
        self._owed = 0.0  # tokens that were let through and do not fill a quantum yet; negative: given back
        # What is discovered changes while requests wait for it, which an AsyncLimiter's rate cannot.
        self._said = {"requests": _Allowed(), "tokens": _Allowed()}
        self._pace = Pace(say)
        self._say = say
        self._order = asyncio.Lock()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._first_at: float | None = None
        self._in_flight = self._ended = 0
        self._estimated = self._used = 0.0  # tokens of late: as estimated and as they were
        self._newest = 0.0
        self._waits_for = ""

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[Turn]:
        """One request's right to be sent, in the order asked for; `tokens` is what it may use, prompt and answer.

        The turn is told what became of the request: `answered`, `refused`, or neither where it failed otherwise.
        """
        async with self._slots:
            async with self._order:
                if self._requests:
                    await self._requests.acquire()
                reserved = tokens * self._used / self._estimated if self._estimated else float(tokens)
                if self._tokens:
                    self._owed += reserved
                    while self._owed >= self._quantum:
                        self._owed -= self._quantum
                        await self._tokens.acquire()
                await self._may_go(reserved)
                turn = Turn(self, tokens, reserved)
                self._in_flight += 1
            try:
                yield turn
            finally:
                self._in_flight -= 1
                self._ended += 1
                turn._end()
                self._changed.set()

    def state(self) -> str:
        """What holds requests back just now, in a few words; empty where nothing does."""
        if seconds := self._pace.paused(self._now()):
            return f"paused {math.ceil(seconds)} s by the server"
        return self._waits_for

    async def _may_go(self, reserved: float) -> None:
        """Waits until neither the start, nor a pause, nor the server's limits are against one more request."""
        while (wait := self._wait(reserved)) > 0:
            self._changed.clear()
            timer = self._loop.call_later(wait, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                timer.cancel()
        self._said["requests"].take(1)
        self._said["tokens"].take(reserved)

    def _wait(self, reserved: float) -> float:
        now = self._now()
        self._first_at = now if self._first_at is None else self._first_at
        at_once = FIRST_AT_ONCE + self._ended
        start = math.log2(max(1.0, (self._in_flight + 1) / at_once)) - (now - self._first_at)
        pace = self._pace.wait(now)
        requests, tokens = self._said["requests"].wait(1, now), self._said["tokens"].wait(reserved, now)
        longest = max(start, pace, requests, tokens)
        if longest > 0:
            rate = self._pace.rate(now)
            self._waits_for = (
                "" if longest == start
                else f"pace {60 * rate:.0f}/min after refusals" if longest == pace and rate
                else "at the server's limit of tokens" if longest == tokens
                else "at the server's limit of requests"
            )  # fmt: skip
        return longest

    def _learn(self, headers: Mapping[str, str], sent_at: float, own: Mapping[str, float]) -> None:
        found = allowances(headers, time.time())
        if not found or sent_at < self._newest:  # an answer that took longer than a later one tells of old times
            return
        self._newest = sent_at
        now = self._now()
        new = [self._said[kind].learn(allowance, own.get(kind, 0.0), now) for kind, allowance in found.items()]
        if any(new):
            each = " and ".join(f"{60 * allowance.rate:,.0f} {kind}" for kind, allowance in found.items())
            self._say(f"the server allows {each} a minute")

    def _learn_tokens(self, estimated: float, used: float) -> None:
        # The first estimate counts as used: one short answer says little.
        self._estimated = 0.98 * (self._estimated or estimated) + estimated
        self._used = 0.98 * (self._used or estimated) + used

    def _correct(self, tokens: float) -> None:
        if self._tokens:
            self._owed += tokens
        self._said["tokens"].correct(tokens)
        self._changed.set()

    def _now(self) -> float:
        return self._loop.time()


class _Allowed:
    """What the server allows of one kind, handed out evenly: a request waits until its units have come in."""

    def __init__(self) -> None:
        self._rate: float | None = None
        self._limit = 0.0
        self._period_s = 0.0
        self._units = self._wanted = 0.0
        self._at = 0.0

    def learn(self, said: Allowance, own: float, now: float) -> bool:
        """Takes over what an answer said; True where the limit is another than before."""
        if self._rate is None:
            self._at = now
        self._fill(now)
        new = abs(said.rate - self._limit) > 0.01 * self._limit
        self._limit = said.rate
        self._rate = HEADROOM * said.rate * min(1.0, max(SLOWEST, said.pressure(own)))
        return new

    def wait(self, units: float, now: float) -> float:
        if self._rate is None:
            return 0.0
        self._wanted = units
        self._fill(now)
        return max(0.0, (units - self._units) / self._rate - 1e-9)

    def take(self, units: float) -> None:
        """Hands out units that were waited for."""
        self._wanted = 0.0
        self.correct(units)

    def correct(self, units: float) -> None:
        """Counts units used beyond what was handed out; negative: not used."""
        if self._rate is not None:
            self._units -= units

    def _fill(self, now: float) -> None:
        if self._rate is not None:
            # Beyond what is wanted nothing is saved up, but for a moment's worth, which makes late timers good.
            full = max(self._units, self._wanted, 0.05 * self._rate)
            self._units = min(full, self._units + self._rate * (now - self._at))
            self._at = now
