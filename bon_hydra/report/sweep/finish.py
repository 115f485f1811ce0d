"""What a sweep found: `sweep.parquet`, one row a job and split, and a table of it.

Reads each job's `summary.json`; what it compares is `statistics`' affair.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bon_hydra.names import shown_path
from bon_hydra.report.tables import Grid, console, dollars, interval, percent, whole
from bon_hydra.sweeps import Point, Sweep, end_sweep

RATES = ("verification_rate", "first_candidate_rate", "any_candidate_rate")


def finish_sweep(folder: Path) -> int:
    """Closes a sweep's record, shows what it found, and says how to go on; returns its exit code."""
    sweep = end_sweep(folder)
    found = {point.number: _summary(folder / point.folder) for point in sweep.points}
    write_table(folder, sweep, found)
    console().print(_grid(sweep, found))
    for point in sweep.points:
        if point.exit_code:
            print(f"{point.folder}: {point.status}: {point.reason or 'see its run.log'}", file=sys.stderr)
    if sweep.exit_code:
        print(f"What arrived is kept. For the rest: bon resume {shown_path(folder)}", file=sys.stderr)
    print(f"bon inspect {shown_path(folder)}", file=sys.stderr)
    return sweep.exit_code


def largest_of_each(sweep: Sweep) -> dict[int, int]:
    """For each point the one whose draws hold its own: points that differ in N alone share them."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for point in sweep.points:
        others = {key: value for key, value in point.swept.items() if key != "num_candidates"}
        n = point.swept.get("num_candidates", "0")
        groups.setdefault(json.dumps(others, sort_keys=True), []).append((int(n) if n.isdigit() else 0, point.number))
    return {number: max(group)[1] for group in groups.values() for _, number in group}


def write_table(folder: Path, sweep: Sweep, found: dict[int, dict[str, Any] | None]) -> None:
    """`sweep.parquet`: one row per job and split (and `overall`); a job without results has one row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    largest = largest_of_each(sweep)
    rows = [row for point in sweep.points for row in _rows(point, found[point.number], largest[point.number])]
    part = folder / "sweep.parquet.part"
    metadata = {"sweep_id": sweep.sweep_id, "experiment": sweep.experiment, "status": sweep.status}
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.replace_schema_metadata(metadata), part)
    part.replace(folder / "sweep.parquet")


def _summary(folder: Path) -> dict[str, Any] | None:
    """What a job found; None where it has no results."""
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if "overall" in summary else None


def _rows(point: Point, summary: dict[str, Any] | None, largest: int) -> list[dict[str, Any]]:
    job: dict[str, Any] = {
        "job": point.number,
        "folder": point.folder,
        "status": point.status,
        "reason": point.reason,
        "prefix_of_job": None if largest == point.number else largest,
        **{key: text for key, text in point.swept.items() if key not in ("num_candidates", "temperature")},
        "num_candidates": _number(int, point.swept.get("num_candidates")),
        "temperature": _number(float, point.swept.get("temperature")),
    }
    if summary is None:
        return [job | {"split": "overall"}]
    metadata = summary["metadata"]
    totals = json.loads(metadata.get("totals") or "{}")
    job |= {
        "model": metadata.get("model"),
        "num_candidates": _number(int, metadata.get("num_candidates")),
        "temperature": _number(float, metadata.get("temperature")),
    }
    sections = {"overall": summary["overall"], **summary["splits"]}
    return [
        {**job, "split": split, "paid_usd": totals.get("cost_usd") if split == "overall" else None, **_figures(section)}
        for split, section in sections.items()
    ]


def _number(kind: type[int] | type[float], text: str | None) -> float | None:
    """None for `null`, and for what is no number."""
    try:
        return None if text is None else kind(text)
    except ValueError:
        return None


def _figures(section: dict[str, Any]) -> dict[str, Any]:
    row = {name: section[name] for name in ("queries", "candidates", "scored", "verified", "truncated")}
    for name in RATES:
        low, high = section["ci95"].get(name) or (None, None)
        row |= {name: section[name], f"{name}_low": low, f"{name}_high": high}
    for name in ("pass_at_k", "majority_at_k"):
        curve = [section[name][k] for k in sorted(section[name], key=int)]
        row[name] = [one["estimate"] for one in curve]
        row[f"{name}_low"] = [(one["ci95"] or (None, None))[0] for one in curve]
        row[f"{name}_high"] = [(one["ci95"] or (None, None))[1] for one in curve]
    return row | {name: section[name] for name in ("prompt_tokens", "completion_tokens", "cost_usd")}


def _grid(sweep: Sweep, found: dict[int, dict[str, Any] | None]) -> Grid:
    keys = list(dict.fromkeys(key for point in sweep.points for key in point.swept))
    header = ["job", *keys, "status", "queries", "verified", "95 %", "any of N", "95 %", "majority", "cost"]
    rows = []
    for point in sweep.points:
        cells = [str(point.number), *(point.swept.get(key, "") for key in keys), point.status]
        if (summary := found[point.number]) is not None:
            overall = summary["overall"]
            n = summary["metadata"]["num_candidates"]
            cells += [
                whole(overall["queries"]),
                percent(overall["verification_rate"]),
                interval(overall["ci95"].get("verification_rate")),
                percent(overall["pass_at_k"].get(n, {}).get("estimate")),
                interval(overall["pass_at_k"].get(n, {}).get("ci95")),
                percent(overall["majority_at_k"].get(n, {}).get("estimate")),
                dollars(overall["cost_usd"]),
            ]
        rows.append([*cells, *[""] * (len(header) - len(cells))])
    return Grid(f"sweep of {sweep.experiment}: {sweep.status}", header, rows, texts=2 + len(keys))
