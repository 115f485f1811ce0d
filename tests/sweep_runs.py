"""Sweeps made for tests: a record, and jobs' folders with real files, without a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from sample_runs import judged, write

from bon_hydra.report.summary import write_summary
from bon_hydra.sweeps import Point, Sweep

Swept = Mapping[str, str]


def sweep_of(
    folder: Path,
    rates: Sequence[tuple[Swept, float | None]],
    queries: int = 30,
    statuses: Mapping[int, str] | None = None,
    split: str = "math",
) -> Path:
    """A sweep whose points are right with these chances; None: a point without results.

    Points that differ in `num_candidates` alone share draws, as those of a real one do.
    """
    folder.mkdir(parents=True)
    points = []
    for number, (swept, rate) in enumerate(rates):
        name = f"{number}_" + ",".join(f"{key}={value}" for key, value in swept.items())
        status = (statuses or {}).get(number, "complete" if rate is not None else "failed")
        code = {"complete": 0, "failed": 1, "partial": 3, "interrupted": 130}.get(status)
        reason = "HTTP 401" if status == "failed" else ""
        points.append(Point(number, name, dict(swept), [], "config.yaml", status, code, reason))
        (folder / name).mkdir()
        (folder / name / "resolved.yaml").write_text("num_candidates: 1\n")
        if rate is not None:
            n = int(swept.get("num_candidates", "2"))
            others = sorted((key, value) for key, value in swept.items() if key != "num_candidates")
            draw = np.random.default_rng(list(str(others).encode()))
            drawn = draw.random((queries, 64)) < rate
            rows = [
                judged(str(at), ["pass" if right else "fail" for right in line[:n]], split=split)
                for at, line in enumerate(drawn)
            ]
            metadata = {
                "model": "mock",
                "num_candidates": str(n),
                "temperature": swept.get("temperature", "0.7"),
                "status": status,
                "experiment": "tried",
                "totals": json.dumps({"cost_usd": 0.5}),
            }
            path = write(folder / name / "run.parquet", rows, metadata)
            write_summary(path, status)
    sweep = Sweep("sweep-1", "tried", "2026-11-23T14:05:33+00:00", [], 1, "here", None, "complete", points=points)
    (folder / "sweep.json").write_text(json.dumps(asdict(sweep)))
    return folder


def over_n_and_temperature(folder: Path, rates: Mapping[str, float], sizes: Sequence[int] = (1, 4)) -> Path:
    """A sweep over N and temperature, each temperature with a chance of its own."""
    grid = [(n, temperature) for n in sizes for temperature in rates]
    return sweep_of(folder, [({"num_candidates": str(n), "temperature": t}, rates[t]) for n, t in grid])
