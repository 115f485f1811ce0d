"""A run that is killed again and again ends as an undisturbed one.  python benchmarks/reliability/kills.py [--short]

2,500 queries of 4 candidates are drawn once undisturbed, and once by a run that SIGKILL meets at random moments of
every phase, each time followed by `bon resume`. The server's answers follow from the seed sent, each sitting has a key
of its own, so that the server knows who asked what, and what was committed is read from the store of the dead.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import app
from fake_api import FakeApi, Request
from soak import Figure, Process, differing, none_of, read_store, run_folders, tell

PHASES = ("start-up", "sampling", "judging", "writing", "closing")


@dataclass(frozen=True)
class Size:
    """How large a soak is; `kills` are those planned in each of PHASES, as many writing as closing."""

    queries: int
    candidates: int
    concurrency: int
    kills: tuple[int, ...]
    latency_s: float
    hard: int
    """So many of the last queries are hard to judge, so that judging goes on when all answers are there."""
    writing_s: float
    """About as long as all rows take to be read from the store and written."""


FULL = Size(2500, 4, 16, (15, 55, 10, 10, 10), 0.05, 40, 3.0)
SHORT = Size(60, 4, 6, (1, 1, 1, 1, 1), 0.03, 8, 0.05)


@dataclass
class Sitting:
    """One process of the run, as its death left things."""

    key: str
    phase: str = ""
    committed: set[int] = field(default_factory=set)
    """Seeds of all candidates in the store."""


@dataclass
class Soak:
    """The killed run: its folder, its server and its dead."""

    size: Size
    cwd: Path
    api: FakeApi
    arguments: list[str]
    random: random.Random
    dead: list[Sitting] = field(default_factory=list)
    left_running: list[int] = field(default_factory=list)
    went_wrong: list[str] = field(default_factory=list)
    verdicts_in_all: int = 0
    """In the store of the undisturbed run."""

    @property
    def store(self) -> Path:
        return self.cwd / "outputs" / "store.sqlite"

    @property
    def all(self) -> int:
        return self.size.queries * self.size.candidates

    def parquet(self) -> Path | None:
        return next(iter((self.cwd / "outputs").glob("*/*/*.parquet")), None)

    def status(self) -> str:
        folders = run_folders(self.cwd)
        return str(json.loads((folders[0] / "summary.json").read_text())["status"]) if folders else ""

    def begin(self) -> tuple[Process, Sitting]:
        """The run itself as long as none has begun, from then on `bon resume`."""
        sitting = Sitting(f"sk-soak-{len(self.dead)}")
        said = self.cwd / "said.txt"
        folders = run_folders(self.cwd)
        if not folders:
            return Process(self.cwd, said, *self.arguments, key=sitting.key), sitting
        return Process(self.cwd, said, "resume", str(folders[0]), module="bon_hydra.cli", key=sitting.key), sitting

    def kill(self, moment: Callable[[Process], bool], jitter_s: float) -> None:
        """A sitting that is killed up to `jitter_s` after the moment has come."""
        process, sitting = self.begin()
        parquet = self.parquet()
        before = parquet.stat().st_mtime_ns if parquet else 0
        while not moment(process) and not process.ended():
            time.sleep(0.002)
        time.sleep(self.random.uniform(0, jitter_s))
        process.signal(signal.SIGKILL)
        code = process.wait()
        if code not in (-9, 0):
            self.went_wrong.append(f"sitting {len(self.dead)}: exit code {code}: {process.told()}")
        sitting.committed = {int(str(row[0])) for row in read_store(self.store, "SELECT seed FROM candidates")}
        sitting.phase = self._phase_of(process, sitting, before)
        self.left_running += process.left_running()
        self.dead.append(sitting)

    def _phase_of(self, process: Process, sitting: Sitting, parquet_before: int) -> str:
        """What it died in, by what it left."""
        parquet = self.parquet()
        part = next(iter((self.cwd / "outputs").glob("*/*/*.parquet.part")), None)
        if parquet and parquet.stat().st_mtime_ns != parquet_before:
            return "closing"
        if part is None or part.stat().st_mtime < process.started:
            return "start-up"
        if len(sitting.committed) < self.all:
            return "sampling"
        return "judging" if self.verdicts() < self.verdicts_in_all else "writing"

    def verdicts(self) -> int:
        return int(str(read_store(self.store, "SELECT count(*) FROM verdicts")[0][0]))


def answer(request: Request, _: int = 0) -> str:
    """What follows from question and seed: right in one of three; of the hard ones in one of two."""
    number, seed = _number(request.question), request.body["seed"]
    if request.question.startswith("Expand"):
        sum_ = f"(x+y+z+{number})"
        return f"\\boxed{{{sum_}^{{4}}({sum_}^2+{seed % 2})}}"
    return f"Adding them, I get \\boxed{{{number + 2 + seed % 3}}}."


def _number(question: str) -> int:
    return int(question.split()[2].removesuffix("+2?"))


def questions(folder: Path, count: int, hard: int) -> Path:
    easy = [{"question": f"What is {i}+2?", "answer": f"#### {i + 2}"} for i in range(count - hard)]
    last = [{"question": f"Expand with {i} !", "answer": f"#### (x+y+z+{i})^{{6}}"} for i in range(hard)]
    return app.jsonl(folder / "questions.jsonl", easy + last)


def soak(size: Size, folder: Path, chance: random.Random) -> list[Figure]:
    """The figures of one soak in an empty folder."""
    whole, killed = folder / "whole", folder / "killed"
    whole.mkdir()
    killed.mkdir()
    data = questions(folder, size.queries, size.hard)
    with FakeApi(reply=answer, latency=size.latency_s) as api:
        more = [
            "seed=11",  # with this one no two of the 10,000 seeds are equal
            f"num_candidates={size.candidates}",
            "model.choices_per_request=1",
            f"max_queries={size.queries}",
            f"concurrency={size.concurrency}",
            "model.prices={input: 1.0, output: 4.0}",
        ]
        run = Soak(size, killed, api, app.asking(api.url, data, *more), chance)
        undisturbed = Process(whole, folder / "whole.txt", *run.arguments)
        while not api.requests and not undisturbed.ended():
            time.sleep(0.01)
        start_s = time.time() - undisturbed.started
        if undisturbed.wait() != 0:
            raise SystemExit((folder / "whole.txt").read_text())
        seeds = {request.body["seed"] for request in api.requests}
        assert len(seeds) == run.all == len(api.requests), "seeds must tell all candidates apart"
        (whole_file,) = app.parquets(whole)
        rows = read_store(whole / "outputs" / "store.sqlite", "SELECT count(*) FROM verdicts")
        run.verdicts_in_all = int(str(rows[0][0]))
        asked_before = len(api.requests)
        api.prompts.clear()
        kill_in_every_phase(run, start_s)
        process, last = run.begin()
        code = process.wait()
        if code != 0:
            run.went_wrong.append(f"the last sitting: exit code {code}: {process.told()}")
        requests = api.requests[asked_before:]
    return figures_of(run, last, requests, seeds, whole_file)


def kill_in_every_phase(run: Soak, start_s: float) -> None:
    """Every kill of the plan."""
    chance, api = run.random, run.api
    start, sampling, judging, writing, closing = run.size.kills
    middle = max(1, run.all * 7 // 10 // max(1, sampling))

    # Some of the first command's start-up, before there is a run to go on with; then in any order.
    order = ["start-up"] * max(0, start - 5) + ["sampling"] * sampling
    chance.shuffle(order)
    for phase in ["start-up"] * min(5, start) + order:
        if phase == "start-up":
            moment = time.time() + chance.uniform(0, 0.9 * start_s)
            run.kill(lambda _, moment=moment: time.time() >= moment, 0)  # type: ignore[misc]
        else:
            enough = api.choices + chance.randint(1, 2 * middle)
            run.kill(lambda _, enough=enough: api.choices >= enough, 0.05)  # type: ignore[misc]

    for _ in range(judging):
        before, more = run.verdicts(), chance.randint(1, 6)
        run.kill(lambda _: _sampled(run) and run.verdicts() >= before + more, 0.2)  # noqa: B023
    # All answers are there now. Where a kill comes too late, the run is complete, and is put back for the next.
    kept = run.cwd / "kept"
    shutil.copytree(run.cwd / "outputs", kept, symlinks=True)
    # The first closing one leaves everything judged for those that are to meet the writing.
    for number in range(writing + closing):
        at_once = number % 4 < 2
        if number % 2 == 0:
            parquet = run.parquet()
            before = parquet.stat().st_mtime_ns if parquet else 0
            run.kill(lambda _: _renamed(run, before), 0.0 if at_once else 0.15)  # noqa: B023
        elif at_once:
            run.kill(lambda process: _writing(run, process, rows=False), run.size.writing_s)
        else:
            run.kill(lambda process: _writing(run, process, rows=True), 0.05)
        if run.status() == "complete":
            shutil.rmtree(run.cwd / "outputs")
            shutil.copytree(kept, run.cwd / "outputs", symlinks=True)


def _sampled(run: Soak) -> bool:
    time.sleep(0.02)
    rows = read_store(run.store, "SELECT count(*) FROM candidates")
    return bool(rows) and rows[0][0] == run.all


def _writing(run: Soak, process: Process, rows: bool) -> bool:
    """The sitting has begun its file; with `rows`, some of them are on disk, which is when nearly all are there."""
    part = next(iter((run.cwd / "outputs").glob("*/*/*.parquet.part")), None)
    try:
        found = part and part.stat()
    except OSError:
        return True  # it was renamed this moment
    return bool(found and found.st_mtime >= process.started and (found.st_size > 4 or not rows))


def _renamed(run: Soak, before: int) -> bool:
    parquet = run.parquet()
    return parquet is not None and parquet.stat().st_mtime_ns != before


def figures_of(run: Soak, last: Sitting, requests: list[Request], seeds: set[int], whole_file: Path) -> list[Figure]:
    """What the server saw, what the dead left, and what the file holds."""
    size = run.size
    number = {sitting.key: at for at, sitting in enumerate([*run.dead, last])}
    asked_by = [(number[request.headers["authorization"].removeprefix("Bearer ")], request) for request in requests]
    bought_in: dict[int, int] = {}
    for at, sitting in enumerate(run.dead):
        for seed in sitting.committed:
            bought_in.setdefault(seed, at)
    again = [r.body["seed"] for at, r in asked_by if at > bought_in.get(r.body["seed"], len(run.dead))]
    answered = Counter(at for at, request in asked_by if request.answered)
    committed = Counter(bought_in.values())
    died = [answered[at] - committed[at] for at in range(len(run.dead))]
    (file,) = app.parquets(run.cwd)
    table = pq.read_table(file, columns=["query_id", "candidate_idx", "seed", "reused"]).to_pydict()
    places = Counter(zip(table["query_id"], table["candidate_idx"], strict=True))
    phases = Counter(sitting.phase for sitting in run.dead)
    planned = {phase for phase, kills in zip(PHASES, size.kills, strict=True) if kills}
    left = [path.name for path in run.cwd.glob("outputs/**/*") if ".part" in path.name or "-sitting-" in path.name]
    whole = read_store(run.store, "PRAGMA integrity_check")[0][0]
    return [
        Figure(
            "SIGKILLs, by what they met",
            f"{sum(size.kills)}, in every phase",
            f"{len(run.dead)}: " + ", ".join(f"{phases[phase]} {phase}" for phase in PHASES if phases[phase]),
            len(run.dead) == sum(size.kills) and planned <= set(phases),
        ),
        none_of("completed candidates asked for again", again),
        none_of("candidates missing", [*(seeds - set(table["seed"])), *range(run.all - len(table["seed"]))]),
        none_of("candidates double", [place for place, count in places.items() if count > 1]),
        Figure(
            "answered, but died in flight, per kill",
            f"<= {size.concurrency} (`concurrency`)",
            f"at most {max(died)}, {sum(died)} in all, of {sum(answered.values()):,} answers",
            min(died) >= 0 and max(died) <= size.concurrency and sum(answered.values()) == run.all + sum(died),
        ),
        none_of("columns unlike the undisturbed run's", differing(whole_file, file)),
        none_of("processes left running", run.left_running),
        none_of("locks and half-written files left in the end", left),
        Figure("`PRAGMA integrity_check` of the store", "ok", str(whole), whole == "ok"),
        none_of("sittings that went wrong", run.went_wrong),
    ]


def main(short: bool) -> int:
    size, began = SHORT if short else FULL, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(size, Path(folder), random.Random(4))
        seconds = time.monotonic() - began
        return tell(f"{size.queries:,} queries × {size.candidates}, {seconds:.0f} s", figures)


if __name__ == "__main__":
    sys.exit(main("--short" in sys.argv))
