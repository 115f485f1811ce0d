"""One limit for many runs, by leases of one actor; in a loop whose clock jumps over every wait."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

import pytest
from fast_loop import run

from bon_hydra.cluster.limiter import Leased, Leases

RATE = 200.0


def used(runs: int, seconds: float, busy_s: float, idle_s: float = 0.0) -> list[float]:
    """When so many runs used a unit of one limit of 200 a second; each is busy and idle by turns."""
    times: list[float] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        leases, end = Leases(loop.time), loop.time() + seconds

        async def lease(units: int) -> float:
            granted = leases.lease("requests", RATE, units)
            await asyncio.sleep(0.003)  # on its way
            return granted

        async def one() -> None:
            limiter = Leased(lease, RATE)
            while loop.time() < end:
                until = loop.time() + busy_s
                while loop.time() < min(until, end):
                    await limiter.acquire()
                    times.append(loop.time())
                await asyncio.sleep(idle_s)

        await asyncio.gather(*(one() for _ in range(runs)))

    run(work)
    return sorted(times)


def most_in(times: list[float], seconds: float) -> int:
    """In any stretch so long."""
    return max(bisect_left(times, at + seconds) - place for place, at in enumerate(times))


@pytest.mark.parametrize("runs", [1, 4, 50])
def test_however_many_runs_stay_within_one_limit_and_use_it(runs: int) -> None:
    """At most 1 % over it in any 10 s, at least 95 % of it overall."""
    times = used(runs, seconds=60, busy_s=60)
    assert most_in(times, 10) <= 1.01 * 10 * RATE
    assert bisect_left(times, times[0] + 59) >= 0.95 * RATE * 59


def test_what_an_idle_run_did_not_use_is_not_saved_up() -> None:
    """No burst when it comes back."""
    times = used(3, seconds=60, busy_s=0.5, idle_s=2.0)
    assert most_in(times, 10) <= 1.01 * 10 * RATE
    assert most_in(times, 1.0) <= 1.1 * RATE


def test_a_faster_limit_is_leased_in_larger_pieces() -> None:
    """20,000 a second take ten leases a second, not 20,000."""
    asked: list[int] = []

    async def work() -> None:
        leases = Leases(asyncio.get_running_loop().time)

        async def lease(units: int) -> float:
            asked.append(units)
            return leases.lease("requests", 20_000.0, units)

        limiter = Leased(lease, 20_000.0)
        for _ in range(10_000):
            await limiter.acquire()

    run(work)
    assert max(asked) == 2000
    assert len(asked) < 25
