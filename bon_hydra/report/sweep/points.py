"""The points of a sweep with what each found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bon_hydra.names import clean
from bon_hydra.runs import find_run, find_runs, sweep_folder
from bon_hydra.schema import ConfigError
from bon_hydra.sweeps import Point, Sweep, read_sweep

FINISHED = ("complete", "partial")
"""A point that ended so has been asked all its queries; a partial one lacks candidates that could not be had."""


@dataclass(frozen=True)
class Found:
    """A point and what its job found."""

    point: Point
    folder: Path
    summary: dict[str, Any] | None
    """None where it has no results."""

    @property
    def finished(self) -> bool:
        """Whether it has all its results."""
        return self.summary is not None and self.point.status in FINISHED

    @property
    def num_candidates(self) -> int:
        """N; 0 where nobody knows."""
        known = self.summary["metadata"].get("num_candidates") if self.summary else None
        text = str(known or self.point.swept.get("num_candidates", ""))
        return int(text) if text.isdecimal() else 0

    @property
    def draws(self) -> str:
        """What its draws are called: points that differ in N alone share them."""
        others = {key: value for key, value in self.point.swept.items() if key != "num_candidates"}
        return json.dumps(others, sort_keys=True)

    @property
    def name(self) -> str:
        """What was swept, as it was given."""
        return name_of(self.point)

    @property
    def run(self) -> Path:
        """Its parquet file. Raises ConfigError where there is none."""
        return find_run(str(self.folder))


def name_of(point: Point) -> str:
    """`num_candidates=4 temperature=0.7`, or its folder where nothing was swept."""
    return clean(" ".join(f"{key}={value}" for key, value in point.swept.items()) or point.folder)


def record_of(folder: Path) -> Sweep:
    """The sweep's record. Raises ConfigError where there is none."""
    sweep = read_sweep(folder)
    if sweep is None:
        raise ConfigError(f"{folder}: no sweep.json, wanted the folder of a sweep")
    return sweep


def read_points(folder: Path, sweep: Sweep) -> list[Found]:
    """Every point of a sweep, in order of their numbers."""
    return [Found(point, folder / point.folder, _summary(folder / point.folder)) for point in sweep.points]


def _summary(folder: Path) -> dict[str, Any] | None:
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if summary.get("overall", {}).get("candidates") else None


def largest_of_each(points: Sequence[Found]) -> dict[int, Found]:
    """For each point's number the one of these whose draws hold its own: the one with the largest N."""
    largest: dict[str, Found] = {}
    for one in points:
        known = largest.get(one.draws)
        if known is None or one.num_candidates > known.num_candidates:
            largest[one.draws] = one
    return {one.point.number: largest[one.draws] for one in points}


def finished_points(folder: Path) -> tuple[list[Found], list[Found]]:
    """The finished points of a sweep, and the others. Raises ConfigError where none is finished."""
    points = read_points(folder, record_of(folder))
    finished = [one for one in points if one.finished]
    if not finished:
        said = ", ".join(f"{one.point.folder} {one.point.status}" for one in points) or "none was started"
        raise ConfigError(f"{folder}: no point of this sweep is finished ({said}); bon resume {folder}")
    return finished, [one for one in points if not one.finished]


def paths_and_names(specs: Sequence[str]) -> tuple[list[Path], dict[Path, str], list[str]]:
    """The runs that `specs` stand for, of a sweep its finished points; what those are called; who is left out, and why.

    Raises ConfigError where one of them stands for no run, or a sweep has no finished point.
    """
    paths: list[Path] = []
    names: dict[Path, str] = {}
    left_out = []
    for spec in specs:
        folder = sweep_folder(spec)
        if folder is None:
            paths += find_runs([spec])
            continue
        finished, others = finished_points(folder)
        names |= {one.run: one.name for one in finished}
        paths += [one.run for one in finished]
        left_out += [f"{one.folder}: {one.point.status}; left out" for one in others]
    return find_runs([str(path) for path in paths]), names, left_out
