"""Limits, on a clock that runs as fast as the test: hours pass in milliseconds, and exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from fast_loop import run
from hypothesis import given, settings
from hypothesis import strategies as st

from bon_hydra.limits import Limits


def granted_at(limits: Callable[[], Limits], requests: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """(request, seconds since the start) in order of grant, for requests of (tokens, seconds they take)."""

    async def main() -> list[tuple[int, float]]:
        made, grants, loop = limits(), [], asyncio.get_running_loop()
        start = loop.time()

        async def one(number: int, tokens: int, takes: float) -> None:
            async with made.slot(tokens):
                grants.append((number, loop.time() - start))
                await asyncio.sleep(takes)

        async with asyncio.TaskGroup() as group:
            for number, (tokens, takes) in enumerate(requests):
                group.create_task(one(number, tokens, takes))
        return grants

    return run(main)


@settings(max_examples=50)
@given(
    st.integers(1, 7),
    st.sampled_from([None, 30.0, 600.0, 60000.0]),
    st.sampled_from([None, 6000.0, 1e6]),
    st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 5)), min_size=1, max_size=25),
)
def test_concurrency_is_never_exceeded_and_who_comes_first_goes_first(
    concurrency: int, rpm: float | None, tpm: float | None, requests: list[tuple[int, float]]
) -> None:
    """Whatever the other limits are."""

    async def main() -> None:
        limits, open_, order = Limits(concurrency, rpm, tpm), 0, []

        async def one(number: int, tokens: int, takes: float) -> None:
            nonlocal open_
            async with limits.slot(tokens):
                order.append(number)
                open_ += 1
                assert open_ <= concurrency
                await asyncio.sleep(takes)
                open_ -= 1

        async with asyncio.TaskGroup() as group:
            for number, (tokens, takes) in enumerate(requests):
                group.create_task(one(number, tokens, takes))
        assert order == list(range(len(requests)))

    run(main)


def test_as_many_run_at_once_as_are_allowed() -> None:
    """Without limits a minute, the first C start in the first moment."""
    grants = granted_at(lambda: Limits(5, None, None), [(10, 1.0)] * 20)
    assert [at for _, at in grants] == pytest.approx([0.0] * 5 + [1.0] * 5 + [2.0] * 5 + [3.0] * 5, abs=1e-3)


def within(grants: list[float], seconds: float) -> int:
    """The most grants in any window of that length."""
    return max(sum(at <= other < at + seconds for other in grants) for at in grants)


@pytest.mark.parametrize("rpm", [6.0, 60.0, 600.0])
def test_requests_a_minute_are_spread_evenly_from_the_first_second(rpm: float) -> None:
    """No burst at the start, the rate in every window, and not much less than the rate either."""
    grants = [at for _, at in granted_at(lambda: Limits(1000, rpm, None), [(1, 0.0)] * int(2 * rpm))]
    assert within(grants, 60 / rpm * 10 - 1e-6) <= 11
    assert within(grants, 60.0 - 1e-6) <= rpm + 1
    assert grants[-1] == pytest.approx(120, rel=0.12)


@pytest.mark.parametrize("tokens", [1, 40, 99, 100, 149, 151, 250, 999, 6000])
def test_tokens_a_minute_hold_for_requests_of_every_size(tokens: int) -> None:
    """60,000 a minute are a thousand a second, whether a request has one token or six seconds' worth; no burst."""
    count = min(3000, 60_000 // tokens)
    grants = [at for _, at in granted_at(lambda: Limits(100_000, None, 60_000), [(tokens, 0.0)] * count)]
    spent = [(index + 1) * tokens for index in range(count)]
    assert all(used <= 1000 * at + tokens + 200 for used, at in zip(spent, grants, strict=True))
    assert grants[-1] == pytest.approx(count * tokens / 1000, abs=8 if tokens > 1000 else 0.5)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 5000), min_size=5, max_size=60))
def test_tokens_a_minute_hold_for_mixed_sizes_and_large_requests_do_not_starve(sizes: list[int]) -> None:
    """What was let through until any moment is the rate times the time, to within a request; order is kept."""
    grants = granted_at(lambda: Limits(1000, None, 60_000), [(size, 0.0) for size in sizes])
    assert [number for number, _ in grants] == list(range(len(sizes)))
    used = 0
    for number, at in grants:
        used += sizes[number]
        assert used <= 1000 * at + 300
        assert used >= 1000 * at - 300


def test_a_request_larger_than_a_whole_minutes_tokens_waits_and_goes() -> None:
    """It raises nothing, and the next one comes after it."""
    grants = granted_at(lambda: Limits(10, None, 600), [(1500, 0.0), (10, 0.0)])
    assert [number for number, _ in grants] == [0, 1]
    assert grants[0][1] == pytest.approx(150, abs=1)
    assert grants[1][1] == pytest.approx(151, abs=1)


def test_both_limits_together_give_the_slower_pace() -> None:
    """Requests would allow 10 a second, tokens one."""
    grants = granted_at(lambda: Limits(100, 600, 6000), [(100, 0.0)] * 30)
    assert grants[-1][1] == pytest.approx(30, abs=1.5)


def test_a_cancelled_request_gives_its_slot_back() -> None:
    """Cancelled while it waits for the rate, for a slot, or in the slot."""

    async def main() -> None:
        limits = Limits(2, 60, None)

        async def one() -> None:
            async with limits.slot(1):
                await asyncio.sleep(1000)

        tasks = [asyncio.create_task(one()) for _ in range(6)]
        await asyncio.sleep(3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with limits.slot(1), limits.slot(1):
            pass

    run(main)
