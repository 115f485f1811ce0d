"""Removing answers from a store on request, in one transaction, and giving their space back.

What is removed would be asked and paid again; what was spent stays spent, and runs stay listed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard

from bon_hydra.schema import ConfigError
from bon_hydra.store.candidates import EPOCH, Stored
from bon_hydra.store.contents import Answers, answers, moment, size_on_disk
from bon_hydra.store.file import check, open_file, reading, trouble
from bon_hydra.store.sittings import bury_dead

FEW = 100_000
"""The tokens of up to so many candidates are added up, which reads each of them (about 30 µs)."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is to go: answers that all of these hold for (None: any), and all verdicts or none."""

    before: datetime | None = None
    model: str | None = None
    identity: str | None = None
    run_id: str | None = None
    verdicts: bool = False

    def condition(self) -> tuple[str, list[Any]]:
        """The answers that go, as a condition on `responses` and `servers`; none where no filter is on them."""
        before_us = None if self.before is None else (self.before - EPOCH) // timedelta(microseconds=1)
        parts = {"created_us < ?": before_us, "model = ?": self.model, "identity = ?": self.identity}
        given = {part: value for part, value in {**parts, "run_id = ?": self.run_id}.items() if value is not None}
        return " AND ".join(given) or "0", list(given.values())


@dataclass(frozen=True, slots=True)
class Going:
    """What goes, or went."""

    answers: Sequence[Answers]
    verdicts: int

    @property
    def candidates(self) -> int:
        """Of all models together."""
        return sum(one.candidates for one in self.answers)

    @property
    def responses(self) -> int:
        """Of all models together; also those that have no candidate, since another run was quicker to store its own."""
        return sum(one.responses for one in self.answers)


def moment_before(text: str) -> datetime:
    """The moment that `90d` (ago) or an ISO date, with or without a time, stands for; UTC where it names no zone.

    Raises:
        ConfigError: it is neither.
    """
    try:
        if text.endswith("d"):
            return datetime.now(UTC) - timedelta(days=float(text[:-1]))
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"--older-than: got {text!r}, wanted days as in 90d, or a date as in 2026-08-01") from None


def would_go(path: Path, filters: Filters) -> Going:
    """What `prune` would remove; only looks.

    Raises:
        ConfigError: there is no store of this version at `path`, it can't be read, or it is damaged.
    """
    with reading(path) as connection:
        return _going(connection, filters)


def candidates_that_would_go(path: Path, filters: Filters) -> Iterator[Stored]:
    """The candidates that `prune` would remove, in order of their answers."""
    which, values = filters.condition()
    unpack = zstandard.ZstdDecompressor().decompress
    with reading(path) as connection:
        rows = connection.execute(
            "SELECT body, choice, seed, run_id, created_us, latency_s, attempts, request_id, choices FROM candidates "
            f"JOIN responses ON responses.id = response JOIN servers ON servers.id = server WHERE {which}",
            values,
        )
        for body, choice, seed, run_id, created_us, *others in rows:
            yield Stored(unpack(body), choice, seed, run_id, moment(created_us), *others)


def prune(path: Path, filters: Filters) -> tuple[Going, int, int]:
    """Removes what the filters say; what went, and the bytes on disk before and after.

    All of it goes or nothing does: a process that dies on the way, or a disk that is full, leaves the store as it was.

    Raises:
        ConfigError: a run is at work on the store; it is not there, of another version or damaged; it can't be written.
    """
    connection = open_file(path, make=False)
    try:
        check(connection, path)
        before = size_on_disk(path)
        connection.execute("PRAGMA secure_delete = OFF")  # zeros in place of what goes would need room on the disk
        connection.execute("BEGIN IMMEDIATE")
        bury_dead(connection, path)
        _refuse_at_work(connection, path)
        going = _going(connection, filters)
        _remove(connection, filters)
        connection.execute("COMMIT")
        _give_back(connection, path)
        return going, before, size_on_disk(path)
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: {trouble(error, path) or error}. Nothing was removed.") from error
    finally:
        connection.close()


def _going(connection: sqlite3.Connection, filters: Filters) -> Going:
    verdicts = connection.execute("SELECT count(*) FROM verdicts").fetchone()[0] if filters.verdicts else 0
    return Going(answers(connection, *filters.condition()), verdicts)


def _refuse_at_work(connection: sqlite3.Connection, path: Path) -> None:
    """Of the sittings only the living are left."""
    sittings = connection.execute("SELECT run_id, host, pid FROM sittings ORDER BY id").fetchall()
    if sittings:
        named = "; ".join(f"run {run_id}, process {pid} on {host}" for run_id, host, pid in sittings)
        raise ConfigError(f"{path} is in use ({named}). Nothing was removed; wait for its end, or stop it with Ctrl-C.")


def _remove(connection: sqlite3.Connection, filters: Filters) -> None:
    which, values = filters.condition()
    condemned = f"SELECT responses.id FROM responses JOIN servers ON servers.id = server WHERE {which}"
    lost = connection.execute(
        "SELECT count(*), run_id FROM candidates JOIN responses ON responses.id = response "
        f"WHERE response IN ({condemned}) GROUP BY run_id",
        values,
    ).fetchall()
    connection.executemany("UPDATE runs SET candidates = candidates - ? WHERE run_id = ?", lost)
    connection.execute(f"DELETE FROM candidates WHERE response IN ({condemned})", values)
    connection.execute(f"DELETE FROM responses WHERE id IN ({condemned})", values)
    # Numbers of responses that went are given again, and a run's answers are looked for from its first on.
    connection.execute(
        "UPDATE runs SET first_response = min(first_response, (SELECT coalesce(max(id), 0) + 1 FROM responses))"
    )
    connection.execute("DELETE FROM servers WHERE id NOT IN (SELECT server FROM responses)")
    if filters.verdicts:
        connection.execute("DELETE FROM verdicts")


def _give_back(connection: sqlite3.Connection, path: Path) -> None:
    """The space of what is gone, also of what an earlier prune had no room to give back."""
    if not connection.execute("PRAGMA freelist_count").fetchone()[0]:
        return
    folder = str(path.absolute().parent).replace("'", "''")
    try:
        # The copy that it makes is as large as the store, and where temporary files go may be a small place.
        connection.execute(f"PRAGMA temp_store_directory = '{folder}'")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise ConfigError(
            f"{path}: what was to go is gone, but its space could not be given back ({error}): that takes up to twice "
            "the store's size for a moment. Answers to come will fill it; or make room and give the same command again."
        ) from error
    finally:
        connection.execute("PRAGMA temp_store_directory = ''")
