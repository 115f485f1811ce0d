"""A sweep's folder: every point frozen before the first job starts, and `sweep.json`, the record of how each went.

Jobs may run in this process or in others, side by side; each writes its own point's ending. Does not know Hydra, or
what a run does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bon_hydra.endings import Ended, ended
from bon_hydra.saved import replace_file, resolved_yaml
from bon_hydra.schema import Config, ConfigError

RECORD = "sweep.json"
PRIVATE_STORE = "store.sqlite"
EXIT_ORDER = (130, 1, 3, 0)
"""A sweep exits with the first of these that one of its jobs had; a wrong configuration of one counts as 1."""
ENDINGS = {130: "interrupted", 1: "failed", 3: "partial", 0: "complete"}


@dataclass
class Point:
    """One job of a sweep."""

    number: int
    folder: str
    """Its name in the sweep's folder."""
    swept: dict[str, str]
    overrides: list[str]
    config_file: str
    status: str = "pending"
    exit_code: int | None = None
    reason: str = ""
    """Why it ended early."""


@dataclass
class Sweep:
    """What `sweep.json` holds."""

    sweep_id: str
    """Also the account that its budget is kept under."""
    experiment: str
    started_at: str
    overrides: list[str]
    side_by_side: int
    """Jobs at once, which share a rate limit."""
    host: str
    private_store: str | None
    """A store that goes when all is complete."""
    status: str = "running"
    ended_at: str | None = None
    points: list[Point] = field(default_factory=list)
    shares: int = 0
    """So many jobs have each their part of the budget, since they may run on several hosts; 0: all spend of one."""

    @property
    def exit_code(self) -> int:
        """Of the whole, by how its jobs ended; one that has not ended may be resumed."""
        codes = {3 if point.exit_code is None else point.exit_code for point in self.points}
        codes = {1 if code == 2 else code for code in codes}
        return next((code for code in EXIT_ORDER if code in codes), 0)


def start_sweep(
    folder: Path,
    experiment: str,
    overrides: Sequence[str],
    points: Sequence[tuple[Point, Config]],
    side_by_side: int,
    shares: int = 0,
) -> Sweep:
    """Freezes every point as its folder's `resolved.yaml`, and begins the record."""
    started_at = datetime.now(UTC)
    private = None
    for point, config in points:
        if config.output.store is None:  # one store for all its jobs, or none would share a draw
            private = config.output.store = str(folder.absolute() / PRIVATE_STORE)
        (folder / point.folder).mkdir()
        replace_file(folder / point.folder / "resolved.yaml", resolved_yaml(config))
    sweep = Sweep(
        f"sweep-{started_at:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}",
        experiment,
        started_at.isoformat(),
        list(overrides),
        side_by_side,
        socket.gethostname(),
        private,
        shares=shares,
        points=[point for point, _ in points],
    )
    replace_file(folder / RECORD, _text(sweep))
    return sweep


def read_sweep(folder: Path) -> Sweep | None:
    """The record of a sweep's folder; None where there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        sweep = Sweep(**{**content, "points": [Point(**point) for point in content["points"]]})
        for number, point in enumerate(sweep.points):
            if point.number != number or point.folder == ".." or Path(point.folder).name != point.folder:
                raise ValueError(f"its job {number} is {point.number} in {point.folder!r}")
        return sweep
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{folder / RECORD}: no record of a sweep ({error})") from error


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[Sweep]:
    """The record, to be changed by one process at a time; what it is in the end is written."""
    path = folder / RECORD
    while True:
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            break
        os.close(descriptor)  # it was replaced while this process waited
    try:
        sweep = read_sweep(folder)
        assert sweep is not None
        yield sweep
        replace_file(path, _text(sweep))
    finally:
        os.close(descriptor)


def set_point(folder: Path, number: int, **changes: Any) -> None:
    """Writes how a point goes."""
    with changing(folder) as sweep:
        for name, value in changes.items():
            setattr(sweep.points[number], name, value)


def run_in(folder: Path, number: int, job: Callable[[], Ended]) -> Ended:
    """Runs a job of a sweep in its folder, with how it goes in the sweep's record."""
    set_point(folder.parent, number, status="running", exit_code=None, reason="")
    how = ended(job)
    set_point(folder.parent, number, status=how.status, exit_code=how.exit_code, reason=how.reason)
    return how


def add_point(folder: Path, point: Point) -> None:
    """A point that a sweeper chose as it went."""
    with changing(folder) as sweep:
        sweep.points.append(point)


def end_sweep(folder: Path) -> Sweep:
    """Closes the record: jobs that were cut short are named as such, and the whole has its status."""
    with changing(folder) as sweep:
        for point in sweep.points:
            if point.status == "running":
                point.status, point.reason = "killed", "its process ended before it did"
        sweep.status = ENDINGS[sweep.exit_code]
        sweep.ended_at = datetime.now(UTC).isoformat()
    if sweep.private_store and sweep.status == "complete":
        for file in folder.glob(f"{PRIVATE_STORE}*"):
            file.unlink()
    return sweep


def _text(sweep: Sweep) -> str:
    return json.dumps(asdict(sweep), indent=2, ensure_ascii=False) + "\n"
