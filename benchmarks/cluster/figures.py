"""What a run on a Ray cluster keeps to, on nodes of this machine.

    python benchmarks/cluster/figures.py kills [ROUNDS]    nodes killed in mid-run: what is missing, double, asked again
    python benchmarks/cluster/figures.py cuts [ROUNDS]     the same, of nodes that are cut off until they are given up
    python benchmarks/cluster/figures.py verifying         programs judged a second by one worker and by two
    python benchmarks/cluster/figures.py calls             what it costs the driver to call an actor
    python benchmarks/cluster/figures.py grants            how much of a limit of 20,000 a second four workers use
    python benchmarks/cluster/figures.py limit [DRIVERS]   requests a second at a server, four workers, a limit of 200

Nothing else may run on the machine meanwhile. Exits with 1 where a figure is not what docs/scaling.md promises.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tests"))
from fake_api import FakeApi, Request
from processes import eventually

from bon_hydra.cluster.limiter import leased
from bon_hydra.records import Candidate, Query, Response

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
LIMIT = 200.0


@contextmanager
def cluster(nodes: int, cpus: int = 1) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    quickly = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    found = Cluster(True, head_node_args=NODE | {"num_cpus": cpus, "_system_config": quickly})
    try:
        for _ in range(nodes - 1):
            found.add_node(**NODE)
        yield found
    finally:
        found.shutdown()  # type: ignore[no-untyped-call]


def command(folder: Path, url: str, rows: int, *more: str) -> list[str]:
    """A run over so many additions, four candidates each, one a request."""
    data = folder / "additions.jsonl"
    lines = (json.dumps({"question": f"What is {i}+2?", "answer": f"#### {i + 2}"}) for i in range(rows))
    data.write_text("\n".join(lines))
    dataset = ["dataset=gsm8k", "dataset.path=json", f"dataset.data_files={data}", "dataset.splits=[train]"]
    model = ["model=openai-compatible", f"model.base_url={url}", "model.name=fake-model", "seed=1", "runner=ray"]
    own = ["model.choices_per_request=1", "max_queries=null", "num_candidates=4", *more]
    return [sys.executable, "-m", "bon_hydra", *dataset, *model, *own]


def stopped(pid: int, log: Path) -> None:
    """Stops a process and all below it until a run has given up its node, as a cut network would; then they go on."""
    family = [pid]
    for parent in family:
        found = Path(f"/proc/{parent}/task").glob("*/children")
        family += [int(child) for children in found for child in children.read_text().split()]
    for each in family:
        os.kill(each, signal.SIGSTOP)
    while "was lost;" not in log.read_text():
        time.sleep(0.1)
    time.sleep(1)
    for each in family:
        os.kill(each, signal.SIGCONT)


def faults(rounds: int, how: str) -> bool:
    """One of three nodes is killed or cut off at a random request of each run."""
    good = True
    draw = random.Random(0)
    with cluster(3) as nodes:
        for number in range(rounds):
            victim, at = draw.choice(list(nodes.worker_nodes)), draw.randrange(60, 160)
            with tempfile.TemporaryDirectory() as name, ExitStack() as serving:
                folder, concurrency = Path(name), 8
                log = folder / "outputs" / "latest" / "run.log"
                ending = threading.Thread(target=nodes.remove_node, args=(victim,), kwargs={"allow_graceful": False})
                if how == "cuts":
                    raylet = victim.all_processes["raylet"][0].process.pid
                    ending = threading.Thread(target=stopped, args=(raylet, log))

                def answer(
                    request: Request, _: int, at: int = at, ending: threading.Thread = ending, log: Path = log
                ) -> str:
                    if request.order == 20:  # answers wait until all nodes ask and judge
                        eventually(lambda: log.read_text().count("joined") == 2 * 3)
                    if request.order == at:
                        ending.start()
                    return "It is \\boxed{5}."

                api = serving.enter_context(FakeApi(reply=answer, latency=0.1))
                more = [f"runner.address={nodes.address}", f"concurrency={concurrency}"]
                since = time.monotonic()
                done = subprocess.run(command(folder, api.url, 60, *more), cwd=folder, capture_output=True, check=False)
                took = time.monotonic() - since
                ending.join()
                (parquet,) = (folder / "outputs" / "latest").glob("*.parquet")
                rows = pq.read_table(parquet, columns=["query_id", "candidate_idx", "verdict"]).to_pylist()
                asked = Counter((request.question, request.seed()) for request in api.requests)
                lost = log.read_text().count("was lost;")
            different = len({(row["query_id"], row["candidate_idx"]) for row in rows})
            again = asked.total() - len(asked)
            whole = done.returncode == 0 and different == len(rows) == 240 and again <= concurrency
            good &= whole and all(row["verdict"] in ("pass", "fail") for row in rows)
            print(
                f"{number + 1}: {how} at request {at}, {lost} workers lost; {240 - different} missing, "
                f"{len(rows) - different} double, {again} of {concurrency} asked again; {took:.0f} s",
                flush=True,
            )
            if how == "cuts":
                nodes.remove_node(victim, allow_graceful=False)
            nodes.add_node(**NODE)
    return good


def verifying() -> bool:
    """The demo's solutions against their tests, by judges of one CPU each."""
    import ray

    from bon_hydra.cluster.judging import remote_bench
    from bon_hydra.queries.load import open_queries
    from bon_hydra.schema import DatasetConfig, RunnerConfig
    from bon_hydra.verifiers.pool import Judges

    queries = list(open_queries(DatasetConfig(path="demo", format="nemotron"), ["code"], None))

    def candidates(query: Query, number: int) -> list[Candidate]:
        solution = query.row["messages"][1]["content"]
        texts = (solution.replace("```python\n", f"```python\n# {number} {i}\n") for i in range(4))
        return [Candidate(i, str(i), Response(text)) for i, text in enumerate(texts)]

    async def judged(workers: int, number: int) -> float:
        async with remote_bench(RunnerConfig(workers=workers), True, print) as bench, Judges(bench) as judges:
            await asyncio.gather(*(judges.judge(query, candidates(query, -1)) for query in queries[:8]))  # all start
            since = time.monotonic()
            asked = [replace(query, query_id=str(n)) for n in range(6) for query in queries]
            found = await asyncio.gather(
                *(judges.judge(query, candidates(query, number + int(query.query_id))) for query in asked)
            )
            assert all(verdict.verdict == "pass" for verdicts, _ in found for verdict in verdicts)
            return 4 * len(asked) / (time.monotonic() - since)

    rates: dict[int, list[float]] = {1: [], 2: []}
    with cluster(1, cpus=2) as nodes:
        ray.init(nodes.address, namespace="bon_hydra", log_to_driver=False)
        for number in range(3):
            for workers, found in rates.items():
                found.append(asyncio.run(judged(workers, 10 * number)))
        ray.shutdown()
    one, two = (sorted(found)[1] for found in rates.values())
    print(f"one worker {one:.0f} programs/s, two {two:.0f}: {two / one:.2f} times (medians of three)")
    return two >= 1.6 * one


class Echo:
    """An actor that gives back what it was given."""

    async def ready(self) -> None:
        """Nothing to wait for."""

    async def echo(self, given: bytes) -> bytes:
        return given


def calls() -> bool:
    """An answer of 3 KB to and fro, 64 in flight; and leases of the named actor, one after the other from 16 tasks."""
    import ray

    from bon_hydra.cluster.crew import Crew
    from bon_hydra.cluster.limiter import Leases
    from bon_hydra.cluster.start import on

    async def through_a_crew(count: int) -> None:
        actor: Any = ray.remote(Echo)
        async with Crew(lambda node: actor.options(**on(node, 0)).remote(), lambda _: 1, 64, print) as crew:

            async def some() -> None:
                for _ in range(count // 64):
                    await crew.call("echo", b"x" * 3000)

            await asyncio.gather(*(some() for _ in range(64)))  # the actors start
            await timed("calls", count, some, 64)

    async def leases(count: int) -> None:
        actor: Any = ray.remote(Leases).options(num_cpus=0).remote()

        async def some() -> None:
            for _ in range(count // 16):
                await actor.lease.remote("requests", 20_000.0, 2000)

        await some()
        await timed("leases", count, some, 16)

    async def timed(name: str, count: int, work: Callable[[], Coroutine[Any, Any, None]], at_once: int) -> None:
        since, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(work() for _ in range(at_once)))
        took, cpu = time.monotonic() - since, time.process_time() - cpu
        print(f"{count / took:,.0f} {name}/s; {cpu / count * 1e6:.0f} µs of the driver's CPU each")

    with cluster(2) as nodes:
        ray.init(nodes.address, namespace="bon_hydra", log_to_driver=False)
        uvloop.run(through_a_crew(6400))
        uvloop.run(leases(3200))
        ray.shutdown()
    return True


def grants() -> bool:
    """Four processes on four nodes that use all they get of one limit of 20,000 a second, by leases of one actor."""
    import ray

    rate, seconds, bins = 20_000.0, 20.0, 0.1

    async def used(until: float) -> Counter[int]:
        """How many in each tenth of a second of the machine's clock."""
        limiter = leased("benchmark")("requests", rate)
        found: Counter[int] = Counter()
        while (now := time.monotonic()) < until:
            await limiter.acquire()
            found[int(now / bins)] += 1
        return found

    with cluster(4) as nodes:
        ray.init(nodes.address, namespace="bon_hydra", log_to_driver=False)
        worker: Any = ray.remote(lambda until: uvloop.run(used(until)))
        ray.get([worker.remote(0.0) for _ in range(4)])  # all start
        until = time.monotonic() + seconds
        found = sum((Counter(each) for each in ray.get([worker.remote(until) for _ in range(4)])), Counter[int]())
        ray.shutdown()
    last = int(until / bins) - 1
    each = [found[place] for place in range(last - int((seconds - 5) / bins), last)]
    most = max(sum(each[place : place + 100]) for place in range(len(each) - 99)) / 10
    mean = sum(each) / (len(each) * bins)
    print(f"four workers, limit {rate:,.0f}/s: {mean:,.0f} grants/s on average, at most {most:,.0f}/s in any 10 s")
    return most <= 1.01 * rate and mean >= 0.95 * rate


def limit(drivers: int) -> bool:
    """Four workers under one limit of 200 a second: of one run, or one each of four shards' runs."""
    arrived: list[float] = []

    def answer(request: Request, _: int) -> str:
        arrived.append(time.monotonic())
        return f"It is {request.order}."

    with cluster(4) as nodes, tempfile.TemporaryDirectory() as name, FakeApi(reply=answer, latency=0.1) as api:
        folder = Path(name)
        shared = [f"runner.address={nodes.address}", f"model.requests_per_minute={60 * LIMIT:.0f}"]
        shared += ["dataset.verifier=none", f"concurrency={80 // drivers}"]
        running = []
        for number in range(1, drivers + 1):
            own = [f"dataset.shard={number}/{drivers}", f"output.dir=outputs{number}"] if drivers > 1 else []
            asking = command(folder, api.url, 1500, *shared, *own)
            running.append(subprocess.Popen(asking, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        codes = {one.wait() for one in running}
    start = arrived[0] + 5  # from when it is at full speed
    end = arrived[-1] - 5
    most = max(bisect_left(arrived, at + 10) - place for place, at in enumerate(arrived))
    rate = (bisect_left(arrived, end) - bisect_left(arrived, start)) / (end - start)
    print(f"{drivers} drivers, exit codes {codes}: {len(arrived)} requests in {arrived[-1] - arrived[0]:.0f} s")
    print(f"at most {most / 10:.1f}/s in any 10 s, on average {rate:.1f}/s")
    return codes == {0} and most <= 10 * LIMIT * 1.01 and rate >= 0.95 * LIMIT


def main() -> int:
    what, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None
    match what:
        case "kills" | "cuts":
            good = faults(number or 10, what)
        case "verifying":
            good = verifying()
        case "calls":
            good = calls()
        case "grants":
            good = grants()
        case _:
            good = limit(number or 1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
