"""Candidates a second and CPU of the whole program, beside bare loops over aiohttp and the openai client, in one run.

    python benchmarks/generation/rates.py [--concurrency 50 200] [--rounds 3] [--short]

A server of its own answers after 200 ms with 300 words. Every system is run at two lengths in turn; the figures are
slopes between the two (start-up cancels out), medians over rounds; CPU is that of the whole process tree. Ours is the
whole command: data set, store, parquet and summary, and with `math` verification in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
CANDIDATES_A_QUERY = 4


@dataclass(frozen=True)
class Took:
    """One run: seconds on the clock, and of CPU in it and all that it started."""

    wall_s: float
    cpu_s: float


def took(command: list[str], cwd: Path) -> Took:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return Took(wall_s, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def questions(path: Path, count: int) -> Path:
    """GSM8K's columns; every answer is 42."""
    rows = ({"question": f"What is {i}+2? Think.", "answer": f"So it is.\n#### {42}"} for i in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ours(
    url: str, data: Path, concurrency: int, verifier: str, choices: int, number: list[int]
) -> Callable[[int], list[str]]:
    """The program's command for so many candidates, with a store of its own each time."""

    def command(candidates: int) -> list[str]:
        number[0] += 1
        return [
            sys.executable, "-m", "bon_hydra", "dataset=gsm8k", "dataset.path=json", f"dataset.data_files={data}",
            "dataset.splits=[train]", f"dataset.verifier={verifier}",
            "model=openai-compatible", f"model.base_url={url}",
            "model.name=fake-model", f"model.choices_per_request={choices}", f"num_candidates={CANDIDATES_A_QUERY}",
            f"concurrency={concurrency}", f"max_queries={candidates // CANDIDATES_A_QUERY}",
            f"output.dir=run{number[0]}",
        ]  # fmt: skip

    return command


def loop(kind: str, url: str, concurrency: int) -> Callable[[int], list[str]]:
    def command(candidates: int) -> list[str]:
        return [sys.executable, str(HERE / "loops.py"), kind, url, str(candidates), str(concurrency)]

    return command


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """The URL and the process id of a server that has `folder` for its port file."""
    api = [sys.executable, str(HERE / "api.py"), "--port-file", str(folder / "port"), *options]
    with subprocess.Popen(api) as server:
        try:
            while not (folder / "port").exists():
                time.sleep(0.02)
            yield f"http://127.0.0.1:{(folder / 'port').read_text()}/v1", server.pid
        finally:
            server.kill()


def main(concurrencies: list[int], rounds: int, seconds: tuple[float, float], most: int | None = None) -> None:
    """`most`: only so many of the systems, the first ones."""
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as (url, _):
        folder, number = Path(name), [0]
        data = questions(folder / "data.jsonl", 200_000 // CANDIDATES_A_QUERY)
        for concurrency in concurrencies:
            commands = dict(list(systems(url, data, concurrency, number).items())[:most])
            show(measured(commands, concurrency, rounds, seconds, folder), concurrency)


def systems(url: str, data: Path, concurrency: int, number: list[int]) -> dict[str, Callable[[int], list[str]]]:
    return {
        "raw aiohttp": loop("aiohttp", url, concurrency),
        "openai, lean": loop("openai", url, concurrency),
        "bon_hydra": ours(url, data, concurrency, "none", 1, number),
        "bon_hydra, math verified": ours(url, data, concurrency, "math", 1, number),
        "bon_hydra, `n=4`": ours(url, data, max(1, concurrency // CANDIDATES_A_QUERY), "none", 4, number),
    }


def measured(
    commands: dict[str, Callable[[int], list[str]]],
    concurrency: int,
    rounds: int,
    seconds: tuple[float, float],
    cwd: Path,
) -> dict[str, list[tuple[float, float]]]:
    """For each system and round: candidates a second, and CPU seconds per 1,000 candidates."""
    lengths = [CANDIDATES_A_QUERY * round(each * concurrency * 5 / CANDIDATES_A_QUERY) for each in seconds]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            few, many = (took(command(length), cwd) for length in lengths)
            more = lengths[1] - lengths[0]
            found[name].append((more / (many.wall_s - few.wall_s), 1000 * (many.cpu_s - few.cpu_s) / more))
    return found


def show(found: dict[str, list[tuple[float, float]]], concurrency: int) -> None:
    raw, lean = found["raw aiohttp"], found["openai, lean"]
    ideal = f"C = {concurrency} (ideal {5 * concurrency})"
    print(f"\n| {ideal} | candidates/s | of raw aiohttp's | CPU s per 1,000 | of lean openai's |")
    print("|---|---|---|---|---|")
    for name, each in found.items():
        rate = median(rate for rate, _ in each)
        cpu = median(cpu for _, cpu in each)
        of_raw = median(rate / base for (rate, _), (base, _) in zip(each, raw, strict=True))
        of_lean = median(cpu / base for (_, cpu), (_, base) in zip(each, lean, strict=True))
        print(f"| {name} | {rate:.0f} | {of_raw:.2f} | {cpu:.2f} | {of_lean:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="one round, C=50, a few seconds each, nothing verified")
    given = parser.parse_args()
    if given.short:
        main([50], 1, (0.5, 2.0), most=3)
    else:
        main(given.concurrency, given.rounds, (2.0, 12.0))
