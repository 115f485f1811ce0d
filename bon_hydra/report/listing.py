"""`bon ls`: what runs there are, from their files' metadata alone; sweeps are folded into a line each.

A run is a folder with a parquet file, a parquet file that lies somewhere (as in the seed's results), or a folder
with a `resolved.yaml` and no parquet file yet: it is running, or was killed.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bon_hydra.names import clean
from bon_hydra.running import is_running
from bon_hydra.runs import SWEEP_RECORD, SWEEP_TABLE, json_object, read_footer
from bon_hydra.schema import ConfigError

DEEPEST = 6
"""Folders below this are not looked into."""
OURS = ("model", "num_candidates", "total_records")
"""A parquet file whose metadata has one of these is a run."""


@dataclass(frozen=True)
class Listed:
    """A run as `bon ls --json` has it; None where nobody knows."""

    path: str
    started_at: str | None
    experiment: str | None
    model: str | None
    num_candidates: int | None
    temperature: float | None
    splits: list[str]
    total_records: int | None
    verification_rate: float | None
    cost_usd: float | None
    status: str
    notes: str
    sweep: str | None
    """The folder of the sweep it is part of."""

    @property
    def when(self) -> datetime | None:
        """The time it started, in local time."""
        return moment(self.started_at)


@dataclass(frozen=True)
class Wanted:
    """Which runs; None is any."""

    experiment: str | None = None
    """A name, or a pattern such as `math*`; the model's likewise."""
    model: str | None = None
    since: datetime | None = None
    status: str | None = None

    def takes(self, run: Listed) -> bool:
        """Whether the run is one of those."""
        named = ((self.experiment, run.experiment), (self.model, run.model), (self.status, run.status))
        if any(pattern is not None and not fnmatchcase(name or "", pattern) for pattern, name in named):
            return False
        return self.since is None or (run.when is not None and run.when >= self.since)


SORTED_BY: dict[str, str] = {
    "when": "started_at",
    "experiment": "experiment",
    "model": "model",
    "N": "num_candidates",
    "T": "temperature",
    "candidates": "total_records",
    "verified": "verification_rate",
    "cost": "cost_usd",
    "status": "status",
}


def list_runs(folder: Path, wanted: Wanted, sort: str = "when") -> list[Listed]:
    """The runs below a folder, the newest (or the largest) last; `-` before `sort` turns that round.

    A file that cannot be read is said on stderr and left out. Raises ConfigError where there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder, wanted one with runs in it")
    name = sort.removeprefix("-")
    if name not in SORTED_BY:
        raise ConfigError(f"--sort {sort}: wanted one of {', '.join(SORTED_BY)}, or one of them with - before it")
    runs = [run for run in _below(folder, None, 0) if wanted.takes(run)]
    key = SORTED_BY[name]

    def place(run: Listed) -> tuple[bool, Any]:
        value = run.when if key == "started_at" else getattr(run, key)
        return value is not None, 0 if value is None else value

    return sorted(sorted(runs, key=lambda run: run.path), key=place, reverse=sort.startswith("-"))


def _below(folder: Path, sweep: str | None, depth: int) -> Iterator[Listed]:
    parquets, folders, names = [], [], set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.add(entry.name)
                if entry.name.endswith(".parquet") and entry.name != SWEEP_TABLE and entry.is_file():
                    parquets.append(Path(entry.path))
                elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    folders.append(Path(entry.path))
    except PermissionError:
        print(f"{clean(str(folder))}: may not be read by this user; left out", file=sys.stderr)
    is_sweep = SWEEP_RECORD in names or folder.name.endswith("_sweep")
    if "resolved.yaml" in names and not is_sweep:
        found = [run for path in sorted(parquets) if (run := _finished(path, folder, sweep))]
        yield from found or [_unfinished(folder, sweep)]
        return
    for path in sorted(parquets):
        if run := _finished(path, path, sweep):
            yield run
    if depth < DEEPEST:
        for below in sorted(folders):
            yield from _below(below, str(folder) if is_sweep else sweep, depth + 1)


def _finished(path: Path, shown: Path, sweep: str | None) -> Listed | None:
    """A run from its file's footer; None for a parquet file that is none."""
    try:
        metadata = read_footer(path)
    except ConfigError as error:
        print(f"{clean(str(error))}; left out", file=sys.stderr)
        return None
    if not any(name in metadata for name in OURS):
        return None
    totals = json_object(metadata.get("totals"))
    return Listed(
        path=str(shown),
        started_at=metadata.get("started_at") or metadata.get("generated_at"),
        experiment=metadata.get("experiment") or None,
        model=metadata.get("model"),
        num_candidates=_number(metadata.get("num_candidates"), int),
        temperature=_number(metadata.get("temperature"), float),
        splits=[name for name in metadata.get("splits", "").split(",") if name],
        total_records=_number(metadata.get("total_records"), int),
        verification_rate=totals.get("verification_rate"),
        cost_usd=totals.get("cost_usd"),
        status=metadata.get("status", "complete"),
        notes=metadata.get("notes", ""),
        sweep=sweep,
    )


def _unfinished(folder: Path, sweep: str | None) -> Listed:
    """A run that has no parquet file, from its configuration."""
    import yaml

    try:
        saved = yaml.load((folder / "resolved.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        saved = None
    config: dict[str, Any] = saved if isinstance(saved, dict) else {}
    try:
        begun = json_object((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = {}
    model, dataset = config.get("model"), config.get("dataset")
    splits = config.get("splits") or (dataset.get("splits") if isinstance(dataset, dict) else None)
    return Listed(
        path=str(folder),
        started_at=_text(begun.get("started_at")),
        experiment=_text(config.get("experiment_name")),
        model=_text(model.get("name")) if isinstance(model, dict) else None,
        num_candidates=_number(config.get("num_candidates"), int),
        temperature=_number(config.get("temperature"), float),
        splits=[name for name in splits if isinstance(name, str)] if isinstance(splits, list) else [],
        total_records=None,
        verification_rate=None,
        cost_usd=None,
        status="running" if is_running(folder) else _recorded(folder) if sweep else "killed",
        notes=_text(config.get("notes")) or "",
        sweep=sweep,
    )


def _recorded(folder: Path) -> str:
    """How a point of a sweep without results stands in its record: one that was never started is `pending`."""
    try:
        record = json_object((folder.parent / SWEEP_RECORD).read_text(encoding="utf-8"))
        status = next(point["status"] for point in record["points"] if point["folder"] == folder.name)
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return "killed"
    return "killed" if status in ("running", "complete") else str(status)


def _text(value: Any) -> str | None:
    """None for what is no text: a few lines of YAML can stand for gigabytes, as long as nobody writes them out."""
    return value if isinstance(value, str) else None


def _number(value: Any, kind: type) -> Any:
    try:
        return None if value is None else kind(value)
    except (TypeError, ValueError):
        return None


def moment(text: str | None) -> datetime | None:
    """A time as metadata hold it; without a zone it is local."""
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone()
    except ValueError:
        return None


UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def since(text: str) -> datetime:
    """`2026-11-23`, `2026-11-23T14:05`, or how long ago: `90m`, `12h`, `7d`, `2w`. Raises ConfigError otherwise."""
    if ago := re.fullmatch(r"(\d{1,6})([mhdw])", text):
        return datetime.now(UTC).astimezone() - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    found = moment(text)
    if found is None:
        raise ConfigError(f"--since {text}: wanted a date such as 2026-11-23, or how long ago such as 12h or 7d")
    return found


def as_json(runs: Sequence[Listed]) -> dict[str, Any]:
    """The document of `bon ls --json`: every run, those of sweeps too."""
    return {"runs": [asdict(run) for run in runs]}


@dataclass(frozen=True)
class Line:
    """One line of the table: a run, or a sweep's runs together."""

    path: str
    runs: tuple[Listed, ...]

    @property
    def folded(self) -> bool:
        """Whether it stands for a sweep."""
        return self.path != self.runs[0].path

    def status(self) -> str:
        """The run's, or how many of a sweep's runs ended how."""
        if not self.folded:
            return self.runs[0].status
        return ", ".join(f"{count} {name}" for name, count in Counter(run.status for run in self.runs).most_common())


def folded(runs: Sequence[Listed]) -> list[Line]:
    """A line a run, but one for all runs of a sweep, where the last of them stands."""
    lines: dict[str, list[Listed]] = {}
    for run in runs:
        key = run.sweep or run.path
        lines[key] = [*lines.pop(key, []), run]
    return [Line(path, tuple(own)) for path, own in lines.items()]
