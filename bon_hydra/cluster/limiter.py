"""One limit for all runs on a cluster: a named actor grants requests and tokens in leases.

A lease is a stretch of time in which units come at the limit's own pace, and no two leases overlap. So the runs
together stay within the limit however many they are, and the actor is asked ten times a second, not for each request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

LEASE_S = 0.1
"""The longest lease."""
LATE_S = 0.05
"""A unit that was not used until so long after its time is given up, lest they gather."""
PACE = 0.99
"""Of the limit, so much is granted: what is late on its way arrives together with what comes after it."""
AGAIN_S = 0.5


class Leases:
    """When each limit's next unit is free; this is the actor."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next: dict[str, float] = {}

    def lease(self, name: str, rate: float, units: int) -> float:
        """Seconds until the first of `units` may be used; the others follow at `rate` a second."""
        now = self._now()
        start = max(now, self._next.get(name, now))
        self._next[name] = start + units / (PACE * rate)
        return start - now


class Leased:
    """One run's share of a limit; stands where an AsyncLimiter would.

    Args:
        lease: asks for so many units, and returns the seconds until the first.
        rate: units a second, of all runs together.
    """

    def __init__(self, lease: Callable[[int], Any], rate: float) -> None:
        self._ask, self._rate = lease, rate
        self._most = max(1, int(LEASE_S * rate))
        self._size = self._left = 0
        self._at = 0.0
        self._coming: asyncio.Task[tuple[float, int]] | None = None
        self._dropped = False
        self._loop = asyncio.get_running_loop()
        self._order = asyncio.Lock()

    async def acquire(self) -> None:
        """Returns when one unit may be used, in the order asked for."""
        async with self._order:
            at = await self._unit()
            if (wait := at - self._loop.time()) > 0:
                await asyncio.sleep(wait)

    async def _unit(self) -> float:
        """The time of the next unit."""
        while True:
            if self._left <= self._size // 2 and self._coming is None:
                self._coming = self._loop.create_task(self._renewed())
            if not self._left and self._coming is not None:
                self._at, self._left = await asyncio.shield(self._coming)
                self._coming, self._dropped = None, False
            at = self._at
            self._at += 1 / self._rate
            self._left -= 1
            if at >= self._loop.time() - LATE_S:
                return at
            self._dropped = True

    async def _renewed(self) -> tuple[float, int]:
        """The next lease, the larger the better the last one was used."""
        self._size = max(1, self._size // 2) if self._dropped else min(self._most, max(1, 2 * self._size))
        asked = self._loop.time()
        seconds = await self._ask(self._size)
        return asked + seconds, self._size


def leased(identity: str) -> Callable[[str, float], Leased]:
    """Makes the limiters of a run that asks the model of this identity; the actor outlives the run, for others."""
    import ray
    from ray.exceptions import RayError

    options: dict[str, Any] = {"name": "limits", "lifetime": "detached", "get_if_exists": True, "num_cpus": 0}
    actor: Any = ray.remote(Leases).options(**options, max_restarts=-1).remote()

    def limiter(kind: str, rate: float) -> Leased:
        async def lease(units: int) -> float:
            while True:
                try:
                    seconds: float = await actor.lease.remote(f"{identity} {kind}", rate, units)
                    return seconds
                except RayError:  # it is being started anew
                    await asyncio.sleep(AGAIN_S)

        return Leased(lease, rate)

    return limiter
