"""A budget is a hard cap: whatever bills arrive, fail to arrive or die in flight, in any order and any process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from app import environment
from hypothesis import given, settings
from hypothesis import strategies as st

from bon_hydra.budget import Budget, BudgetReached
from bon_hydra.store import CandidateStore


async def turns(count: int) -> None:
    """Lets others go on so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@settings(max_examples=80)
@given(
    st.floats(0.001, 20),
    st.lists(
        st.tuples(
            st.floats(0, 5),  # worst case
            st.floats(0, 1),  # the bill, as a share of it
            st.sampled_from(["billed", "unknown", "failed", "free"]),
            st.integers(0, 30),  # starts after
            st.integers(0, 30),  # takes
        ),
        max_size=25,
    ),
)
def test_it_is_never_overshot_and_ends_only_when_nothing_in_flight_makes_room(
    cap: float, requests: list[tuple[float, float, str, int, int]]
) -> None:
    """Bills, missing bills and failures in any order; what was spent plus what may come stays below the cap."""

    async def main(store: CandidateStore) -> None:
        budget, flying, finished = Budget(store, "run", cap), dict[int, float](), 0

        async def one(number: int, worst: float, share: float, end: str, after: int, takes: int) -> None:
            nonlocal finished
            await turns(after)
            try:
                async with budget.reserved(worst) as room:
                    flying[number] = worst
                    assert await store.spent("run") <= cap * (1 + 1e-9)
                    await turns(takes)
                    room.bill_usd = {"billed": worst * share, "free": 0.0}.get(end)
                    del flying[number]
                    if end == "failed":
                        raise ConnectionError
            except BudgetReached:
                assert await store.spent("run") + worst > cap * (1 - 1e-9) or flying
            except ConnectionError:
                pass
            finished += 1

        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(requests):
                group.create_task(one(number, *request))
        assert await store.spent("run") <= cap * (1 + 1e-9)
        assert finished == len(requests)

    with tempfile.TemporaryDirectory() as folder, CandidateStore(Path(folder) / "s", "run") as store:
        asyncio.run(main(store))


def test_a_request_waits_for_room_that_one_in_flight_may_leave(tmp_path: Path) -> None:
    """Ten reservations of a dollar, bills of ten cents: a budget of two dollars is enough for all of them."""

    async def main(store: CandidateStore) -> int:
        budget, done = Budget(store, "run", 2.0), 0

        async def one() -> None:
            nonlocal done
            async with budget.reserved(1.0) as room:
                await turns(5)
                room.bill_usd = 0.1
            done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(one())
        return done

    with CandidateStore(tmp_path / "s", "run") as store:
        assert asyncio.run(main(store)) == 10
        assert asyncio.run(store.spent("run")) == pytest.approx(1.0)


def test_a_bill_that_never_arrives_counts_as_its_reservation(tmp_path: Path) -> None:
    """Also where the request was cancelled."""

    async def main(store: CandidateStore) -> None:
        budget, sent = Budget(store, "run", 1.0), asyncio.Event()

        async def one() -> None:
            async with budget.reserved(0.6):
                sent.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(one())
        await sent.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(BudgetReached):
            async with budget.reserved(0.6):
                pass
        async with budget.reserved(0.4):
            pass

    with CandidateStore(tmp_path / "s", "run") as store:
        asyncio.run(main(store))


def test_what_was_cancelled_before_it_was_sent_costs_nothing(tmp_path: Path) -> None:
    """While the reservation itself is being made, and while it waits for room."""

    async def main(store: CandidateStore) -> None:
        budget = Budget(store, "run", 1.0)

        async def one() -> None:
            async with budget.reserved(0.9):
                raise AssertionError("it was never to be sent")

        for pause in range(3):
            task = asyncio.create_task(one())
            await turns(pause)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await store.spent("run") == 0.0

    with CandidateStore(tmp_path / "s", "run") as store:
        asyncio.run(main(store))


def test_without_a_cap_nothing_is_ever_reached_and_bills_are_kept(tmp_path: Path) -> None:
    """So that a cap that is set later knows of them."""

    async def main(store: CandidateStore) -> None:
        budget = Budget(store, "run", None)
        async with budget.reserved(1e9), budget.reserved(1e9) as room:
            room.bill_usd = 5.0
        assert await store.spent("run") == 1e9 + 5.0

    with CandidateStore(tmp_path / "s", "run") as store:
        asyncio.run(main(store))


def test_two_processes_share_one_cap(tmp_path: Path) -> None:
    """Each sees what the other has set aside, and waits for it; the account is by its name, not by the run's."""

    async def main(mine: CandidateStore, theirs: CandidateStore) -> None:
        first, second = Budget(mine, "sweep", 1.0), Budget(theirs, "sweep", 1.0)
        async with first.reserved(0.7) as room:
            waiting = asyncio.create_task(_spend(second, 0.7))
            await turns(20)
            assert not waiting.done()
            room.bill_usd = 0.2
        await waiting
        with pytest.raises(BudgetReached):
            await _spend(first, 0.7)

    async def _spend(budget: Budget, usd: float) -> None:
        async with budget.reserved(usd) as room:
            room.bill_usd = usd

    with CandidateStore(tmp_path / "s", "one") as mine, CandidateStore(tmp_path / "s", "two") as theirs:
        asyncio.run(main(mine, theirs))


KILLED = """
import asyncio, sys
from pathlib import Path
from bon_hydra.budget import Budget
from bon_hydra.store import CandidateStore

async def main():
    with CandidateStore(Path(sys.argv[1]), "run") as store:
        async with Budget(store, "run", 1.0).reserved(0.6):
            print("sent", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def test_what_a_killed_process_had_in_flight_counts_as_spent(tmp_path: Path) -> None:
    """Its reservation was durable before the request went out; the next sitting finds it."""
    project = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "s")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(PYTHONPATH=project))
    assert process.stdout is not None
    assert process.stdout.readline() == b"sent\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with CandidateStore(tmp_path / "s", "run") as store:
        assert asyncio.run(store.spent("run")) == 0.6

        async def main() -> None:
            with pytest.raises(BudgetReached):
                async with Budget(store, "run", 1.0).reserved(0.6):
                    pass

        asyncio.run(main())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]
