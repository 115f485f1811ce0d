"""Candidates a second of other tools that draw answers from a chat API, beside this project and a bare loop.

    python benchmarks/generation/peers.py [--concurrency 50 200] [--rounds 3] [--environments DIR] [--short]

The server, the slopes between two lengths and the medians are those of `rates.py`. Each tool has an environment of its
own below DIR, made at first use (some minutes of pip, once), and a driver in `drivers/`, which uses it as a user would
who wants it fast: four candidates a question as four requests, at most `concurrency` at once, nothing cached, results
written where the tool writes them. A driver ends with an error unless every candidate is there. Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from rates import CANDIDATES_A_QUERY, HERE, Took, loop, ours, questions, served, took
from resident import most_resident

LATENCY_S = 0.2
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@dataclass(frozen=True)
class Peer:
    """A tool, how pip gets it, and the driver that uses it."""

    name: str
    requirements: tuple[str, ...]
    driver: str
    most: int
    """About the most that it draws in a second on two cores; a run of a second asks for so many."""


PEERS = (
    Peer("lm-eval 0.4.13", ("lm-eval[api]==0.4.13",), "with_lm_eval.py", 600),
    Peer("curator 0.1.31", ("bespokelabs-curator==0.1.31",), "with_curator.py", 200),
    Peer("distilabel 1.5.3", ("distilabel[openai]==1.5.3", "openai==3.57.0", "requests"), "with_distilabel.py", 100),
    Peer("inspect-ai 0.3.285", ("inspect-ai==0.3.285", "openai==3.57.0"), "with_inspect_ai.py", 50),
)


@dataclass(frozen=True)
class System:
    """What is measured: its command for so many candidates, and the most it draws in a second."""

    command: Callable[[int], list[str]]
    most: float


@dataclass(frozen=True)
class Run:
    """One run: what it took, what its processes held at once at most, when its first request came, and how many
    requests were open at once at most."""

    candidates: int
    took: Took
    resident_mb: float
    first_request_s: float
    most_open: int


@dataclass(frozen=True)
class Pair:
    """A shorter and a longer run of a system, one after the other."""

    few: Run
    many: Run

    @property
    def more(self) -> int:
        """So many candidates more in the longer one."""
        return self.many.candidates - self.few.candidates

    @property
    def rate(self) -> float:
        return self.more / (self.many.took.wall_s - self.few.took.wall_s)

    @property
    def cpu_s_per_1000(self) -> float:
        return 1000 * (self.many.took.cpu_s - self.few.took.cpu_s) / self.more


def main(concurrencies: list[int], rounds: int, seconds: tuple[float, float], found: list[tuple[Peer, Path]]) -> None:
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (url, server):
        data = questions(Path(name) / "data.jsonl", 50_000)
        for concurrency in concurrencies:
            pairs: dict[str, list[Pair]] = {}
            named = systems(url, data, concurrency, found)
            for _ in range(rounds):
                for system, what in named.items():
                    pairs.setdefault(system, []).append(measured(what, concurrency, seconds, url, server))
            show(pairs, concurrency)


def systems(url: str, data: Path, concurrency: int, found: list[tuple[Peer, Path]]) -> dict[str, System]:
    """Everything that is measured, the bare loop first."""
    ideal = concurrency / LATENCY_S
    own = {
        "raw aiohttp": System(loop("aiohttp", url, concurrency), ideal),
        "bon_hydra": System(ours(url, data, concurrency, "none", 1, [0]), ideal),
    }
    return own | {
        peer.name: System(driver(python, peer, url, concurrency), min(ideal, peer.most)) for peer, python in found
    }


def driver(python: Path, peer: Peer, url: str, concurrency: int) -> Callable[[int], list[str]]:
    def command(candidates: int) -> list[str]:
        return [str(python), str(HERE / "drivers" / peer.driver), url, str(candidates), str(concurrency)]

    return command


def measured(system: System, concurrency: int, seconds: tuple[float, float], url: str, server: int) -> Pair:
    """A pair of runs; where the shorter one is to take no time, it stands for the time before the first request."""
    # Twice the concurrency at least: a run that ends while its connections are still being opened is no measure.
    ramp = 2 * concurrency if seconds[0] else 0
    few = CANDIDATES_A_QUERY * round(max(seconds[0] * system.most, ramp) / CANDIDATES_A_QUERY)
    many = few + CANDIDATES_A_QUERY * round((seconds[1] - seconds[0]) * system.most / CANDIDATES_A_QUERY)
    shorter = run(system, few, url, server) if few else None
    longer = run(system, many, url, server)
    return Pair(shorter or replace(longer, candidates=0, took=Took(longer.first_request_s, 0.0)), longer)


def run(system: System, candidates: int, url: str, server: int) -> Run:
    """One run in an empty folder, which is gone after it."""
    with tempfile.TemporaryDirectory() as folder, most_resident(besides=server) as held:
        asked("POST", url, "reset")
        started = time.time()
        one = took(system.command(candidates), Path(folder))
        counted = asked("GET", url, "counters")
    return Run(candidates, one, held[0] / 1e6, counted["first_at"] - started, int(counted["most_open"]))


def asked(method: str, url: str, what: str) -> dict[str, float]:
    request = urllib.request.Request(url.removesuffix("/v1") + "/" + what, method=method)
    with urllib.request.urlopen(request) as answer:
        return dict(json.load(answer))


def place(peer: Peer, environments: Path) -> Path:
    """Where the tool's own environment is, or would be."""
    return environments / peer.name.replace(" ", "-")


def installed(peer: Peer, environments: Path) -> Path:
    """What pip installed for it; written last, so that what was broken off is made again."""
    return place(peer, environments) / "installed.txt"


def make(peer: Peer, environments: Path) -> None:
    """Installs the tool in an environment of its own."""
    where = place(peer, environments)
    print(f"installing {' '.join(peer.requirements)} in {where}", file=sys.stderr, flush=True)
    subprocess.run(["python3.11", "-m", "venv", "--clear", str(where)], check=True)
    pip = [str(where / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *peer.requirements], check=True)
    frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True)
    installed(peer, environments).write_text(frozen.stdout)


def show(pairs: dict[str, list[Pair]], concurrency: int) -> None:
    raw = pairs["raw aiohttp"]
    print(
        f"\n| C = {concurrency} (ideal {concurrency / LATENCY_S:.0f}) | candidates/s | of raw aiohttp's "
        "| CPU s per 1,000 | MB resident | s to the first request | open at once | candidates of a longer run |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, each in pairs.items():
        of_raw = median(one.rate / base.rate for one, base in zip(each, raw, strict=True))
        print(
            f"| {name} | {median(one.rate for one in each):.0f} | {of_raw:.2f} "
            f"| {median(one.cpu_s_per_1000 for one in each):.2f} "
            f"| {max(one.many.resident_mb for one in each):.0f} "
            f"| {median(one.few.first_request_s for one in each):.1f} "
            f"| {max(one.many.most_open for one in each)} | {each[0].many.candidates} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=CACHE / "bon_hydra" / "peers")
    parser.add_argument(
        "--short",
        action="store_true",
        help="C=50, only tools that are there, one run of 1 s each: rates from its first request, CPU with start-up",
    )
    given = parser.parse_args()
    if not given.short:
        for peer in PEERS:
            if not installed(peer, given.environments).exists():
                make(peer, given.environments)
    there = [peer for peer in PEERS if installed(peer, given.environments).exists()]
    found = [(peer, place(peer, given.environments) / "bin" / "python") for peer in there]
    if given.short:
        main([50], 1, (0.0, 1.0), found)
    else:
        main(given.concurrency, given.rounds, (1.0, 6.0), found)
