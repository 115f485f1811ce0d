"""What the soaks share: whole processes to kill, the store read beside them, files held against each other, a table.

A soak prints one table of figures and exits 1 when one of them is missed. The server is `tests/fake_api.py`.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import app

UNLIKE = {"latency_s", "created_at", "request_id", "run_id", "attempts", "cached_tokens"}
"""Columns in which two equal runs differ: times, ids, attempts; and what the server says of its own cache."""


@dataclass(frozen=True)
class Figure:
    """One promise with what was found of it."""

    name: str
    wanted: str
    found: str
    met: bool


def tell(title: str, figures: Sequence[Figure]) -> int:
    """Prints the table; the exit code: 1 when a figure is missed."""
    print(f"{title}\n\n| figure | wanted | found | |\n|---|---|---|---|")
    for figure in figures:
        print(f"| {figure.name} | {figure.wanted} | {figure.found} | {'ok' if figure.met else '**missed**'} |")
    return 0 if all(figure.met for figure in figures) else 1


def none_of(name: str, found: Sequence[object]) -> Figure:
    """A figure that is met where nothing was found; else it shows the first few."""
    shown = f"{len(found):,}" + (f": {'; '.join(str(one) for one in found[:3])}" if found else "")
    return Figure(name, "0", shown, not found)


class Process:
    """`python -m MODULE …` as a user starts it, writing to a file, with a mark that all its children carry."""

    def __init__(
        self, cwd: Path, said: Path, *arguments: str, module: str = "bon_hydra", key: str = app.SECRET
    ) -> None:
        self.said, self.mark = said, f"SOAK_{random.getrandbits(64):x}"
        self.started = time.time()
        self._before = said.stat().st_size if said.exists() else 0
        with said.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=cwd,
                env=app.environment(OPENAI_API_KEY=key, **{self.mark: "1"}),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        """The exit code; negative where a signal ended it."""
        return self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def told(self) -> str:
        """The last of what it said."""
        with self.said.open("rb") as file:
            file.seek(self._before)
            return " ".join(file.read().decode(errors="replace")[-600:].split())

    def left_running(self, patience_s: float = 20.0) -> list[int]:
        """Processes that it started and that go on without it, after some patience."""
        deadline = time.monotonic() + patience_s
        while (left := _carrying(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


def _carrying(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:  # it ended, or is not ours
                continue
    return found


def read_store(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Rows of the store's file as it lies there, left as a dead process left it; empty where there is no store yet."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as connection:
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def differing(one: Path, other: Path) -> list[str]:
    """Columns in which two runs' files differ that should be equal; a number of rows where that differs."""
    left, right = pq.read_table(one), pq.read_table(other)
    if len(left) != len(right):
        return [f"{len(left)} rows and {len(right)}"]
    return [name for name in left.column_names if name not in UNLIKE and not left[name].equals(right[name])]


def run_folders(cwd: Path) -> list[Path]:
    """Folders of runs that say which run they are."""
    return sorted(path.parent for path in (cwd / "outputs").glob("*/*/summary.json"))
