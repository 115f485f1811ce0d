"""What trackers are told of a run, read from its folder: plain values. Knows no tracker."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bon_hydra.saved import load_config
from bon_hydra.schema import DatasetConfig

TAGS = ("experiment", "model", "dataset", "dataset_revision", "splits", "identity", "git_commit", "bon_hydra_version")
"""Of a run's metadata: what runs are looked for by."""
RATES = ("verification_rate", "first_candidate_rate", "any_candidate_rate")
COUNTS = ("queries", "candidates", "scored", "verified", "truncated")
SPENT = ("prompt_tokens", "completion_tokens", "cost_usd", "cost_per_verified")
PAID = ("requests", "failed_attempts", "bought", "reused", "missing", "seconds")
CURVES = ("pass_at_k", "majority_at_k")


@dataclass(frozen=True)
class TrackedRun:
    """A run that begins, or is gone on with."""

    run_id: str
    name: str
    """Its folder's."""
    experiment: str
    config: dict[str, Any]
    """As `resolved.yaml` has it."""
    tags: dict[str, str]
    notes: str
    user: str
    started_at: float
    """Seconds since 1970."""
    sweep: str
    """The sweep it is part of, or empty."""


@dataclass(frozen=True)
class Outcome:
    """How it ended, and what it found."""

    status: str
    exit_code: int
    figures: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    """Name -> k -> rate. Only of complete runs: trackers keep every point, also those of an earlier sitting."""
    files: list[Path] = field(default_factory=list)


def run_of(folder: Path, sweep: str) -> TrackedRun:
    """The run of a folder, from its `resolved.yaml` and `summary.json`."""
    config, metadata = load_config(folder / "resolved.yaml"), _summary(folder)["metadata"]
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        user = "unknown"
    return TrackedRun(
        run_id=metadata["run_id"],
        name=folder.name,
        experiment=metadata["experiment"],
        config=asdict(config),
        tags={name: metadata[name] for name in TAGS if metadata[name]} | {"dataset": _dataset(config.dataset)},
        notes=config.notes,
        user=user,
        started_at=datetime.fromisoformat(metadata["started_at"]).timestamp(),
        sweep=sweep,
    )


def _dataset(dataset: DatasetConfig) -> str:
    """A name on the Hub, or the local file's."""
    return Path(dataset.data_files).name if isinstance(dataset.data_files, str) else dataset.path


def outcome_of(folder: Path, status: str, exit_code: int) -> Outcome:
    """What stands in the folder of a run that has ended."""
    summary = _summary(folder)
    if "overall" not in summary:  # its results could not be written
        return Outcome(status, exit_code)
    return Outcome(
        status,
        exit_code,
        figures(summary),
        curves(summary) if status == "complete" else {},
        [*folder.glob("*.parquet"), folder / "resolved.yaml", folder / "summary.json"],
    )


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Name -> figure of `summary.json`, overall and, of several splits, as `split/name`; what is unknown is left out.

    `paid_usd` is what this run paid, `cost_usd` what its candidates cost when they were drawn.
    """
    totals = json.loads(summary["metadata"]["totals"])
    sections = {"": summary["overall"]}
    if len(summary["splits"]) > 1:
        sections |= {f"{name}/": section for name, section in summary["splits"].items()}
    found = {before + name: value for before, section in sections.items() for name, value in _figures(section)}
    found |= {name: totals.get(name) for name in PAID} | {"paid_usd": totals.get("cost_usd")}
    return {name: value for name, value in found.items() if value is not None}


def _figures(section: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for name in (*COUNTS, *RATES, *SPENT):
        yield name, section[name]
    for name in RATES:
        low, high = section["ci95"][name] or (None, None)
        yield f"{name}_low", low
        yield f"{name}_high", high
    last = section["reach"]
    for k, point in section["pass_at_k"].items():
        if int(k).bit_count() == 1 or int(k) == last:
            yield f"pass_at_{k}", point["estimate"]
    for verdict, count in section["verdicts"].items():
        yield f"verdicts/{verdict}", count


def curves(summary: Mapping[str, Any]) -> dict[str, dict[int, float]]:
    """Name -> k -> rate, over all splits."""
    overall = summary["overall"]
    return {
        name: {int(k): point["estimate"] for k, point in overall[name].items() if point["estimate"] is not None}
        for name in CURVES
    }
