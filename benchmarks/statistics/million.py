"""`bon inspect` of a large run, beside pandas that reads it whole.  python benchmarks/statistics/million.py [--short]

A run of 1,000,000 candidates (16 a query, answers of 1 KB, all the contract's columns) is made; then processes of
their own inspect it, with pass@1 … pass@16, majority votes and 1,000 resamples, and compute the seed's three means.
Figures are CPU seconds of user and system, start-up included, and the largest resident set; medians of the rounds.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bon_hydra.report.tally import COLUMNS
from bon_hydra.results import SCHEMA

CANDIDATES = 16
GROUP_QUERIES = 512
ANSWER_BYTES = 1024
WANTED_CPU_S, WANTED_MB = 3.0, 500
PANDAS = """\
import sys
import pandas as pd
df = pd.read_parquet(sys.argv[1])
print(df.groupby("split")["is_verified"].mean())
print(df[df.candidate_idx == 0]["is_verified"].mean(), df.groupby("query_id")["is_verified"].max().mean())
"""


def write_run(path: Path, queries: int) -> None:
    """A run as ours are: row groups of some thousand rows, a query's candidates together, one in 500 not scored."""
    draw = np.random.default_rng(0)
    words = "so the sum of two and three is five hence x equals seven which we check again boxed answer".split()
    text = " ".join(np.array(words)[draw.integers(0, len(words), 300_000)])
    chance = draw.beta(0.6, 0.9, queries)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", store_schema=False) as writer:
        for start in range(0, queries, GROUP_QUERIES):
            query = np.repeat(np.arange(start, min(start + GROUP_QUERIES, queries)), CANDIDATES)
            writer.write_table(_group(query, chance, text, draw, split="math" if start < queries / 2 else "code"))
        writer.add_key_value_metadata({"model": "mock", "num_candidates": str(CANDIDATES), "schema_version": "1"})


def _group(query: Any, chance: Any, text: str, draw: np.random.Generator, split: str) -> pa.Table:
    rows = len(query)
    missing = draw.random(rows) < 0.002
    right = (draw.random(rows) < chance[query]) & ~missing
    ids = {number: hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in np.unique(query).tolist()}
    known: dict[str, Any] = {
        "query_id": [ids[number] for number in query.tolist()],
        "split": [split] * rows,
        "candidate_idx": np.arange(rows) % CANDIDATES,
        "is_verified": right,
        "is_scored": ~missing,
        "verdict": np.where(missing, "api_error", np.where(right, "pass", "fail")),
        "verifier": ["math 1"] * rows,
        "answer_class": pa.array(np.where(right, 0, draw.integers(1, 6, rows)), pa.int32(), mask=missing),
        "question": [f"What is {number} plus {number}?" * 4 for number in query.tolist()],
        "reference": [str(2 * number) for number in query.tolist()],
        "response": [text[at : at + ANSWER_BYTES] for at in draw.integers(0, len(text) - ANSWER_BYTES, rows).tolist()],
        "finish_reason": np.where(draw.random(rows) < 0.01, "length", "stop"),
        "prompt_tokens": draw.integers(20, 200, rows),
        "completion_tokens": draw.integers(20, 2000, rows),
        "cost_usd": draw.random(rows) / 1000,
        "latency_s": draw.gamma(2, 2, rows),
        "candidate_id": [f"{number:032x}" for number in draw.integers(0, 1 << 62, rows).tolist()],
        "model": ["mock"] * rows,
    }
    arrays = []
    for field in SCHEMA:
        values = known.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        else:
            arrays.append(values if isinstance(values, pa.Array) else pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def measured(command: list[str]) -> tuple[float, float]:
    """CPU seconds and the largest resident set in MB of one process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(short: bool) -> None:
    queries, rounds = (6_250, 1) if short else (62_500, 5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.parquet"
        write_run(path, queries)
        bon = [str(Path(sys.executable).parent / "bon"), "inspect", str(path)]
        commands = {
            "`bon inspect`": bon,
            "`bon inspect --by verifier --json`": [*bon, "--by", "verifier", "--json"],
            "pandas, the whole file": [sys.executable, "-c", PANDAS, str(path)],
        }
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                figures[name].append(measured(command))
        metadata = pq.read_metadata(path)
        sizes = dict.fromkeys(SCHEMA.names, 0)
        for group in range(metadata.num_row_groups):
            for at in range(metadata.num_columns):
                column = metadata.row_group(group).column(at)
                sizes[column.path_in_schema] += column.total_compressed_size
        read, whole = sum(sizes[name] for name in COLUMNS), sum(sizes.values())
    print(f"{queries * CANDIDATES:,} candidates of {queries:,} queries, {whole / 1e6:.0f} MB, {rounds} rounds\n")
    print("| | CPU s | MB resident |\n|---|---|---|")
    for name, values in figures.items():
        cpu, memory = (statistics.median(value) for value in zip(*values, strict=True))
        print(f"| {name} | {cpu:.2f} | {memory:.0f} |")
    print(f"\nRead: {read / 1e6:.1f} MB of {whole / 1e6:.0f} MB, {len(COLUMNS)} of {len(SCHEMA)} columns.")
    if not short:
        print(f"Wanted: at most {WANTED_CPU_S} s of CPU and {WANTED_MB} MB.")


if __name__ == "__main__":
    main("--short" in sys.argv)
