"""What a candidate costs the driver, stage by stage, and a thousand simulated workers on the real limiter and store.

    python benchmarks/cluster/scale.py [--short]

The workers wait for answers as a server's would take; all else is the program's own: limits by leases, claims, bodies
read, commits, rows written. Exits with 1 where a candidate is missing or double, or (but not in short) the limit is not
kept.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bon_hydra.bodies import choices_of, parsed, responses_of
from bon_hydra.cluster.limiter import Leased, Leases
from bon_hydra.keys import Keys
from bon_hydra.limits import Limits
from bon_hydra.records import Candidate, Judged, Query, Verdict
from bon_hydra.results import ResultsWriter, RunFields
from bon_hydra.schema import Config, ModelConfig
from bon_hydra.store import CandidateStore, Stored

N = 4
WORKERS = 1000
LATENCY_S = (0.5, 1.5)
CONFIG = Config(model=ModelConfig(name="m", base_url="http://x/v1"), num_candidates=N)


def query(number: int) -> Query:
    messages = ({"role": "user", "content": f"{number}: " + "a question of some length. " * 20},)
    return Query(f"{number:016x}", "math", messages[0]["content"], messages, None, "5", "math")


def body(number: int) -> bytes:
    """An answer of 2 KB."""
    text = " ".join(str(number * i) for i in range(250))
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 140, "completion_tokens": 500}
    return json.dumps({"id": str(number), "model": "m", "choices": [choice], "usage": usage}).encode()


def stored(data: bytes) -> Stored:
    return Stored(data, 0, None, "run", datetime.now(UTC), 1.0, 1, None)


def candidate(index: int, key: bytes, of: Stored) -> Candidate:
    read = parsed(of.body)
    (response,) = responses_of(read, choices_of(read), of)
    return Candidate(index, key.hex(), response)


def judged(asked: Query, candidates: list[Candidate]) -> Judged:
    verdicts = tuple(Verdict("fail", "not 5", "math 1", "4") for _ in candidates)
    return Judged(asked, json.dumps(asked.messages), tuple(candidates), verdicts, (0,) * len(candidates))


def costs(queries: int, folder: Path) -> dict[str, float]:
    """CPU microseconds a candidate, all threads of the process."""
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], None]) -> None:
        since = time.process_time()
        work()
        found[name] = (time.process_time() - since) / (queries * N) * 1e6

    asked = [query(number) for number in range(queries)]
    bodies = [stored(body(number)) for number in range(queries * N)]
    keys: list[list[bytes]] = []
    timed("keys", lambda: keys.extend(Keys(CONFIG, "x").of(each.messages, None) for each in asked))
    with CandidateStore(folder / "costs.sqlite", "run") as store:

        async def commit() -> None:
            async def one(number: int) -> None:
                await store.get(keys[number])
                await store.claim(keys[number])
                await asyncio.gather(
                    *(store.put([keys[number][i]], bodies[number * N + i], "x", "m") for i in range(N))
                )

            for first in range(0, queries, 50):
                await asyncio.gather(*(one(number) for number in range(first, min(queries, first + 50))))

        timed("store", lambda: uvloop.run(commit()))
    flat = [key for each in keys for key in each]
    candidates: list[Candidate] = []
    timed("reading the body", lambda: candidates.extend(map(candidate, [0] * len(flat), flat, bodies)))
    with ResultsWriter(folder / "costs.parquet", RunFields("run", "m", 0.7)) as writer:

        def rows() -> None:
            for number in range(queries):
                writer.put(number, judged(asked[number], candidates[number * N : number * N + N]))
            writer.close({})

        timed("parquet", rows)
    sizes = [(folder / name).stat().st_size / (queries * N) for name in ("costs.sqlite", "costs.parquet")]
    print(f"bytes a candidate: store {sizes[0]:.0f}, parquet {sizes[1]:.0f}")
    return found


async def simulated(workers: int, rate: float, seconds: float, folder: Path, short: bool) -> bool:
    """So many workers under one limit, for so long."""
    draw, loop = random.Random(0), asyncio.get_running_loop()
    leases = Leases(loop.time)
    sent: list[float] = []

    async def lease(name: str, units: int) -> float:
        return leases.lease(name, rate, units)

    def limiter(kind: str, of: float) -> Leased:
        return Leased(lambda units: lease(kind, units), of)

    limits = Limits(workers, 60 * rate, None, limiter=limiter)
    end = loop.time() + seconds
    numbers = iter(range(10**9))
    with CandidateStore(folder / "store.sqlite", "run") as store:

        async def worker() -> None:
            while loop.time() < end:
                number = next(numbers)
                (key,) = Keys(ONE, "x").of(query(number).messages, None)
                await store.claim([key])
                async with limits.slot(640) as turn:
                    sent.append(loop.time())
                    await asyncio.sleep(draw.uniform(*LATENCY_S))
                    turn.answered(640, {})
                    await store.put([key], stored(body(number)), "x", "m")

        since, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(worker() for _ in range(workers)))
        took, cpu = time.monotonic() - since, time.process_time() - cpu
        done = await store.done("run")
    steady = sent[0] + 10  # from when it is at full speed
    most = max(bisect_left(sent, at + 10) - place for place, at in enumerate(sent)) / 10
    mean = (bisect_left(sent, end) - bisect_left(sent, steady)) / (end - steady)
    print(
        f"{workers} workers, limit {rate:.0f}/s: {len(sent):,} sent in {took:.0f} s, at most {most:.1f}/s in any 10 s, "
        f"{mean:.1f}/s on average; {done.candidates:,} stored; {cpu / len(sent) * 1e6:.0f} µs of CPU each"
    )
    return done.candidates == len(sent) and (short or (most <= 1.01 * rate and mean >= 0.95 * rate))


ONE = Config(model=ModelConfig(name="m", base_url="http://x/v1"), num_candidates=1)


def main() -> int:
    short = "--short" in sys.argv
    with tempfile.TemporaryDirectory() as name:
        for stage, microseconds in costs(500 if short else 5000, Path(name)).items():
            print(f"{stage:<18}{microseconds:>6.0f} µs of CPU a candidate")
        good = uvloop.run(simulated(WORKERS, 200.0 if short else 500.0, 15 if short else 60, Path(name), short))
    granted, since = Leases(), time.perf_counter()
    for _ in range(100_000):
        granted.lease("requests", 20_000.0, 20)
    print(f"the limiter's own work: {100_000 / (time.perf_counter() - since):,.0f} leases a second")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
