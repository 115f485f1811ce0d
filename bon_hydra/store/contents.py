"""What is in a store, counted: by a connection that only reads, whoever else is at work on the file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bon_hydra.store.candidates import EPOCH
from bon_hydra.store.file import VERSION, check, reading
from bon_hydra.store.sittings import is_alive


@dataclass(frozen=True, slots=True)
class Answers:
    """What is kept of one model of one server."""

    identity: str
    model: str
    candidates: int
    responses: int
    bytes: int
    """Of the bodies, compressed."""
    runs: int
    """So many runs drew them."""
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """What a run has asked and got, in all its sittings."""

    run_id: str
    dataset: str
    answered: int
    failed: int
    candidates: int
    """Those that it drew and that are in the store."""
    last: datetime | None
    """When the newest of its answers arrived that are in the store."""


@dataclass(frozen=True, slots=True)
class Account:
    """USD that a run, or a sweep's runs together, spent, and what requests in flight may cost at the most."""

    name: str
    runs: int
    spent_usd: float
    reserved_usd: float


@dataclass(frozen=True, slots=True)
class AtWork:
    """A process that is at work on the store in this moment."""

    run_id: str
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What `bon store` shows."""

    path: Path
    bytes: int
    """On disk, with what is not yet moved into the file itself."""
    version: int
    candidates: int
    responses: int
    verdicts: int
    runs: int
    accounts: int
    answers: Sequence[Answers]
    newest_runs: Sequence[Run]
    newest_accounts: Sequence[Account]
    at_work: Sequence[AtWork]


def contents(path: Path, most: int) -> Contents:
    """What is in a store that is whole; of runs and accounts the newest `most`.

    Raises:
        ConfigError: there is no store of this version at `path`, it can't be read, or it is damaged.
    """
    with reading(path) as connection:
        check(connection, path)
        sittings = connection.execute("SELECT id, run_id, host, pid FROM sittings ORDER BY id").fetchall()
        alive = [sitting for sitting in sittings if is_alive(path, sitting[0])]
        return Contents(
            path=path,
            bytes=size_on_disk(path),
            version=VERSION,
            candidates=_count(connection, "candidates"),
            responses=_count(connection, "responses"),
            verdicts=_count(connection, "verdicts"),
            runs=_count(connection, "runs"),
            accounts=_count(connection, "(SELECT DISTINCT name FROM accounts)"),
            answers=answers(connection),
            newest_runs=_runs(connection, most),
            newest_accounts=_accounts(connection, [sitting[0] for sitting in alive], most),
            at_work=[AtWork(*sitting[1:]) for sitting in alive],
        )


def size_on_disk(path: Path) -> int:
    """Bytes of the file and its log."""
    real = os.path.realpath(path)
    return sum(file.stat().st_size for name in ("", "-wal") if (file := Path(real + name)).exists())


def moment(microseconds: int) -> datetime:
    """A time as the store keeps it."""
    return EPOCH + timedelta(microseconds=microseconds)


def _count(connection: sqlite3.Connection, rows: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])


def answers(connection: sqlite3.Connection, which: str = "1", values: Sequence[Any] = ()) -> list[Answers]:
    """What is there of each model, of the responses that a condition on `responses` and `servers` holds for."""
    candidates = dict(
        connection.execute(
            "SELECT server, count(*) FROM candidates JOIN responses ON responses.id = response "
            f"JOIN servers ON servers.id = server WHERE {which} GROUP BY server",
            values,
        )
    )
    rows = connection.execute(
        "SELECT servers.id, identity, model, count(*), sum(length(body)), count(DISTINCT run_id), "
        "min(created_us), max(created_us) FROM responses JOIN servers ON servers.id = server "
        f"WHERE {which} GROUP BY servers.id",
        values,
    ).fetchall()
    found = [
        Answers(identity, model, candidates.get(server, 0), responses, size, runs, moment(first), moment(last))
        for server, identity, model, responses, size, runs, first, last in rows
    ]
    return sorted(found, key=lambda one: (-one.candidates, one.identity, one.model))


def _runs(connection: sqlite3.Connection, most: int) -> list[Run]:
    """A run's id begins with the moment when it started."""
    rows = connection.execute(
        "SELECT runs.run_id, dataset, answered, failed, candidates, last FROM runs LEFT JOIN "
        "(SELECT run_id, max(created_us) AS last FROM responses GROUP BY run_id) AS its "
        "ON its.run_id = runs.run_id ORDER BY runs.run_id DESC LIMIT ?",
        (most,),
    )
    return [
        Run(run_id, dataset, answered, failed, candidates, None if last is None else moment(last))
        for run_id, dataset, answered, failed, candidates, last in rows
    ]


def _accounts(connection: sqlite3.Connection, alive: Sequence[int], most: int) -> list[Account]:
    """What a dead sitting had reserved is spent, as the next one to sit down will write."""
    living = ", ".join(map(str, alive))
    rows = connection.execute(
        "SELECT name, count(*), sum(spent_usd + coalesce(dead, 0)), sum(coalesce(open, 0)) FROM accounts LEFT JOIN "
        f"(SELECT account, sum(iif(sitting IN ({living}), usd, 0)) AS open, "
        f"sum(iif(sitting IN ({living}), 0, usd)) AS dead FROM reservations GROUP BY account) AS its "
        "ON its.account = accounts.id GROUP BY name ORDER BY max(run_id) DESC LIMIT ?",
        (most,),
    )
    return [Account(*row) for row in rows]
