"""A sweep costs what its largest point costs, killed or not.  python benchmarks/reliability/sweeps.py [--short]

N = 1, 2, 4 … 64 by three temperatures against a counting server, one job after the other and two at once, each twice.
And a sweep of 12 jobs that SIGKILL meets at random moments, each time followed by `bon resume`, held against an
undisturbed one.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import app
from fake_api import FakeApi, Request
from soak import Figure, Process, differing, none_of, read_store, tell

Draw = tuple[float, int]
"""Temperature and seed, which say which candidate it is."""


@dataclass(frozen=True)
class Size:
    """How large the sweeps are."""

    grid: str
    queries: int
    launchers: tuple[str, ...]
    kills: int
    killed_queries: int
    killed_grid: str
    temperatures: str = "0.3,0.7,1.0"
    latency_s: float = 0.05

    def candidates(self, queries: int, grid: str) -> int:
        """So many a sweep needs."""
        return queries * max(map(int, grid.split(","))) * len(self.temperatures.split(","))


FULL = Size("1,2,4,8,16,32,64", 10, ("basic", "joblib"), 20, 40, "1,2,4,8")
SHORT = Size("1,2", 3, ("basic",), 1, 4, "1,2", "0.3,0.7")


def answer(request: Request, _: int = 0) -> str:
    """What follows from question, temperature and seed, which it names: right in one of three."""
    number = int(request.question.split("What is ")[1].split("+")[0])
    temperature, seed = drawn(request)
    return f"At {temperature} with {seed} it is \\boxed{{{number + 2 + (seed + round(10 * temperature)) % 3}}}."


def drawn(request: Request) -> Draw:
    return float(request.body["temperature"]), int(request.body["seed"])


def arguments(size: Size, url: str, cwd: Path, queries: int, grid: str, *more: str) -> list[str]:
    own = [f"num_candidates={grid}", f"temperature={size.temperatures}", "seed=1", "max_queries=null"]
    own += ["model.choices_per_request=1", "model.identity=counting", "dataset.verifier=exact", "runner.workers=1"]
    return ["-m", *app.asking(url, app.additions(cwd, queries)), *own, *more]


def shared(size: Size, launcher: str, cwd: Path) -> list[Figure]:
    """What a sweep asks for, and the same sweep again."""
    cwd.mkdir()
    at_once = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    asked = []
    with FakeApi(answer) as api:
        command = arguments(size, api.url, cwd, size.queries, size.grid, f"hydra/launcher={launcher}", *at_once)
        for _ in range(2):
            before = api.choices
            code = Process(cwd, cwd / "said.txt", *command).wait()
            asked.append(api.choices - before if code == 0 else -1)
        different = len({drawn(request) for request in api.requests})
    wanted = size.candidates(size.queries, size.grid)
    how = "two at once" if at_once else "one after the other"
    exact = asked[0] == different == wanted
    return [
        Figure(f"candidates asked for, jobs {how}", f"{wanted:,}", f"{asked[0]:,}", exact),
        Figure("asked for by the same sweep again", "0", f"{asked[1]:,}", asked[1] == 0),
    ]


def sweep_folder(cwd: Path) -> Path | None:
    """Of the one sweep there is, once its record has begun."""
    return next((path.parent for path in (cwd / "outputs").glob("*/*/sweep.json")), None)


@dataclass
class Killed:
    """The sweep that is killed."""

    cwd: Path
    api: FakeApi
    command: list[str]
    kills: int = 0
    asked_again: list[Draw] = field(default_factory=list)
    run_again: list[str] = field(default_factory=list)
    finished: dict[str, int] = field(default_factory=dict)
    """The jobs that were complete at a kill, with their files' times."""
    left_running: list[int] = field(default_factory=list)
    went_wrong: list[str] = field(default_factory=list)

    def sit(self, chance: random.Random | None) -> bool:
        """One sitting, to a random moment or its end; whether it came to that."""
        folder = sweep_folder(self.cwd)
        module, more = ("bon_hydra.cli", ["resume", str(folder)]) if folder else ("bon_hydra", self.command)
        committed, since = self.committed(), len(self.api.requests)
        process = Process(self.cwd, self.cwd / "said.txt", *more, module=module)
        if chance is not None:
            last = since + chance.choice([0, chance.randrange(60)])
            while len(self.api.requests) < last and not process.ended():
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 1))
            process.signal(signal.SIGKILL)
        code = process.wait()
        self.left_running += process.left_running()
        self.kills += code == -9
        if code not in (-9, 0):
            self.went_wrong.append(f"sitting {self.kills}: exit code {code}: {process.told()}")
        self.asked_again += [drawn(request) for request in self.api.requests[since:] if drawn(request) in committed]
        self.look()
        return code != -9

    def committed(self) -> set[Draw]:
        """The candidates whose answers the store has."""
        bodies = read_store(self.cwd / "outputs" / "store.sqlite", "SELECT body FROM responses")
        texts = [
            json.loads(zstandard.decompress(body))["choices"][0]["message"]["content"].split()
            for (body,) in bodies
            if isinstance(body, bytes)
        ]
        return {(float(text[1]), int(text[3])) for text in texts}

    def look(self) -> None:
        """Which jobs are complete, and whether those that were have been left alone."""
        folder = sweep_folder(self.cwd)
        if folder is None:
            return
        for point in json.loads((folder / "sweep.json").read_text())["points"]:
            if point["status"] == "complete":
                (file,) = (folder / point["folder"]).glob("*.parquet")
                if self.finished.setdefault(point["folder"], file.stat().st_mtime_ns) != file.stat().st_mtime_ns:
                    self.run_again.append(point["folder"])


def killed(size: Size, place: Path, chance: random.Random) -> list[Figure]:
    """A sweep that is killed and gone on with, held against an undisturbed one."""
    whole, cut = place / "whole", place / "cut"
    whole.mkdir()
    cut.mkdir()
    more = (size.killed_queries, size.killed_grid, "concurrency=4")
    with FakeApi(answer, latency=size.latency_s) as api:
        Process(whole, whole / "said.txt", *arguments(size, api.url, whole, *more)).wait()
    whole_folder = sweep_folder(whole)
    with FakeApi(answer, latency=size.latency_s) as api:
        sweep = Killed(cut, api, arguments(size, api.url, cut, *more))
        ended = False
        while sweep.kills < size.kills and not ended:
            ended = sweep.sit(chance)
        if not ended:
            sweep.sit(None)
        requests, different = len(api.requests), len({drawn(request) for request in api.requests})
    wanted = size.candidates(size.killed_queries, size.killed_grid)
    jobs = len(json.loads((whole_folder / "sweep.json").read_text())["points"]) if whole_folder else 0
    return [
        Figure(f"kills of a sweep of {jobs} jobs", str(size.kills), str(sweep.kills), sweep.kills == size.kills),
        none_of("finished jobs run again", sweep.run_again),
        none_of("candidates asked for that the store had", sweep.asked_again),
        Figure("different candidates asked for", f"{wanted:,}", f"{different:,}", different == wanted),
        Figure(
            "asked for again, since they were in flight at a kill",
            f"at most {4 * size.kills}",
            str(requests - different),
            requests - different <= 4 * size.kills,
        ),
        none_of("differences between both records and files", compared(sweep_folder(cut), whole_folder)),
        none_of("processes left running", sweep.left_running),
        none_of("sittings that went wrong", sweep.went_wrong),
    ]


def compared(one: Path | None, other: Path | None) -> list[str]:
    """What differs between two sweeps: their records, their tables, and each job's file."""
    if one is None or other is None:
        return ["no sweep"]
    records = [json.loads((folder / "sweep.json").read_text()) for folder in (one, other)]
    names = ("number", "folder", "swept", "status", "exit_code", "reason")
    points: list[Any] = [[[point[name] for name in names] for point in record["points"]] for record in records]
    found = [] if points[0] == points[1] and records[0]["status"] == records[1]["status"] else ["sweep.json"]
    tables = [pq.read_table(folder / "sweep.parquet") for folder in (one, other)]
    found += [
        f"sweep.parquet: {name}" for name in tables[1].column_names if not tables[0][name].equals(tables[1][name])
    ]
    for point in records[1]["points"]:
        files = [file for folder in (one, other) for file in (folder / point["folder"]).glob("*.parquet")]
        differences = differing(*files) if len(files) == 2 else ["no file"]
        found += [f"{point['folder']}: {name}" for name in differences]
    return found


def main(size: Size) -> int:
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        figures = [figure for name in size.launchers for figure in shared(size, name, Path(place, name))]
        figures += killed(size, Path(place), random.Random(1))
        return tell(f"Sweeps, in {time.monotonic() - began:.0f} s", figures)


if __name__ == "__main__":
    sys.exit(main(SHORT if "--short" in sys.argv else FULL))
