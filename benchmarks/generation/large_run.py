"""A million candidates: memory, speed from the first to the last, and the same run again from the store.

    python benchmarks/generation/large_run.py [--short]

250,000 queries, four candidates each in one request (`n=4`), answers of 200 characters after no latency, no
verification; then the same command again, which asks for nothing and writes the parquet file from the store. Before
it, the same with a tenth. Memory is that of the whole process tree, a shared page once. What a tenth of the run took
is read from the store's clock in the column `created_at`; the rate of the second run is a slope between the two
lengths, so that start-up is not in it.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rates import CANDIDATES_A_QUERY, Took, ours, questions, served, took
from resident import most_resident

CONCURRENCY = 50
WANTED_MB, WANTED_GROWTH, WANTED_LAST, WANTED_AGAIN = 400, 1.10, 0.95, 20_000


@dataclass(frozen=True)
class Sitting:
    """One command: what it took, and what its processes held at once at most."""

    took: Took
    resident_mb: float


def sat(command: list[str], folder: Path, server: int) -> Sitting:
    with most_resident(besides=server) as held:
        one = took(command, folder)
    return Sitting(one, held[0] / 1e6)


def tenths(folder: Path) -> tuple[float, float]:
    """Candidates a second of the first and the last tenth of what the newest run drew."""
    (file,) = (folder / "run1" / "latest").resolve().glob("*.parquet")
    at: Any = np.sort(pq.read_table(file, columns=["created_at"])["created_at"].to_numpy().astype("int64"))
    part = len(at) // 10
    return part / (at[part] - at[0]) * 1e6, part / (at[-1] - at[-1 - part]) * 1e6


def main(lengths: tuple[int, int]) -> None:
    print("| candidates | s | candidates/s, first tenth | last tenth | MB | again: s | MB |")
    print("|---|---|---|---|---|---|---|")
    again: dict[int, Took] = {}
    for candidates in lengths:
        with tempfile.TemporaryDirectory() as name, served(Path(name), "--latency=0", "--words=25") as (url, server):
            folder = Path(name)
            data = questions(folder / "data.jsonl", candidates // CANDIDATES_A_QUERY)
            command = ours(url, data, CONCURRENCY, "none", CANDIDATES_A_QUERY, [0])(candidates)
            first = sat(command, folder, server)
            rates = tenths(folder)
            second = sat(command, folder, server)
            again[candidates] = second.took
            print(
                f"| {candidates:,} | {first.took.wall_s:.0f} | {rates[0]:.0f} | {rates[1]:.0f} "
                f"| {first.resident_mb:.0f} | {second.took.wall_s:.1f} | {second.resident_mb:.0f} |",
                flush=True,
            )
    few, many = (again[length] for length in lengths)
    print(f"\nAgain from the store: {(lengths[1] - lengths[0]) / (many.wall_s - few.wall_s):,.0f} candidates/s.")
    print(
        f"Wanted: at most {WANTED_MB} MB and {WANTED_GROWTH} times the shorter run's (32 bytes a query aside), the "
        f"last tenth at least {WANTED_LAST} of the first, {WANTED_AGAIN:,} candidates/s from the store."
    )


if __name__ == "__main__":
    main((1_000, 5_000) if "--short" in sys.argv else (100_000, 1_000_000))
