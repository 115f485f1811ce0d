"""The candidate store: what arrived stays. One SQLite file that any number of runs and processes share.

Keeps response bodies as they arrived, under keys that say what determines a candidate; it reads neither.
All access is by one thread of its own, which commits what has gathered in one transaction; a call returns
when its data is committed. The first stored answer of a key wins, in every process.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard

from bon_hydra.schema import ConfigError

VERSION = 1
APPLICATION = 0x626F6E68
"""SQLite's mark of whose file it is: `bonh`."""
GROUP = 256
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TABLES = f"""
CREATE TABLE servers (id INTEGER PRIMARY KEY, identity TEXT NOT NULL, model TEXT NOT NULL, UNIQUE (identity, model));
CREATE TABLE responses (
    id INTEGER PRIMARY KEY, server INTEGER NOT NULL REFERENCES servers (id), body BLOB NOT NULL, run_id TEXT NOT NULL,
    created_us INTEGER NOT NULL, latency_s REAL NOT NULL, attempts INTEGER NOT NULL, request_id TEXT
);
CREATE TABLE candidates (
    key BLOB NOT NULL, response INTEGER NOT NULL REFERENCES responses (id), choice INTEGER NOT NULL, seed INTEGER
);
CREATE UNIQUE INDEX candidate_key ON candidates (key);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A candidate as the store keeps it: a choice of a body, and how that was got."""

    body: bytes
    choice: int
    seed: int | None
    run_id: str
    created_at: datetime
    latency_s: float
    attempts: int
    request_id: str | None


class CandidateStore:
    """The open store. Use it as a context manager.

    Raises:
        ConfigError: the file can't be opened, is not a store, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection = _open(path)
        self._servers: dict[tuple[str, str], int] = {}
        self._pack = zstandard.ZstdCompressor(level=3).compress
        self._unpack = zstandard.ZstdDecompressor().decompress
        self._thread = threading.Thread(target=self._work, name="candidate-store", daemon=True)
        self._thread.start()

    def __enter__(self) -> CandidateStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits until everything handed over is committed."""
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    async def get(self, keys: Sequence[bytes]) -> list[Stored | None]:
        """What is there under each key, None where nothing is."""
        found: list[Stored | None] = await self._do(lambda: [self._get(key) for key in keys])
        return found

    async def count(self, keys: Sequence[bytes]) -> int:
        """How many of the keys have a candidate."""
        found: int = await self._do(
            lambda: sum(self._row("SELECT 1 FROM candidates WHERE key = ?", (key,)) is not None for key in keys)
        )
        return found

    async def put(self, keys: Sequence[bytes], new: Stored, identity: str, model: str) -> list[Stored]:
        """Keeps a body, its choices under `keys` in order; returns what is there after, the first stored of each."""
        kept: list[Stored] = await self._do(lambda: self._put(keys, new, identity, model), writes=True)
        return kept

    async def _do(self, work: Callable[[], Any], writes: bool = False) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put(_Job(work, writes, loop, future))
        return await future

    def _row(self, sql: str, values: tuple[Any, ...]) -> Any:
        return self._connection.execute(sql, values).fetchone()

    def _get(self, key: bytes) -> Stored | None:
        row = self._row(
            "SELECT body, choice, seed, run_id, created_us, latency_s, attempts, request_id "
            "FROM candidates JOIN responses ON responses.id = response WHERE key = ?",
            (key,),
        )
        if row is None:
            return None
        body, choice, seed, run_id, created_us, latency_s, attempts, request_id = row
        created_at = EPOCH + timedelta(microseconds=created_us)
        return Stored(self._unpack(body), choice, seed, run_id, created_at, latency_s, attempts, request_id)

    def _put(self, keys: Sequence[bytes], new: Stored, identity: str, model: str) -> list[Stored]:
        response = self._connection.execute(
            "INSERT INTO responses (server, body, run_id, created_us, latency_s, attempts, request_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._server(identity, model),
                self._pack(new.body),
                new.run_id,
                (new.created_at - EPOCH) // timedelta(microseconds=1),
                new.latency_s,
                new.attempts,
                new.request_id,
            ),
        ).lastrowid
        kept = []
        for choice, key in enumerate(keys):
            seed = None if new.seed is None else new.seed + choice
            inserted = self._connection.execute(
                "INSERT OR IGNORE INTO candidates VALUES (?, ?, ?, ?)", (key, response, choice, seed)
            ).rowcount
            first = (
                self._get(key)
                if not inserted
                else Stored(
                    new.body, choice, seed, new.run_id, new.created_at, new.latency_s, new.attempts, new.request_id
                )
            )
            assert first is not None
            kept.append(first)
        return kept

    def _server(self, identity: str, model: str) -> int:
        known = self._servers.get((identity, model))
        if known is None:
            self._connection.execute("INSERT OR IGNORE INTO servers (identity, model) VALUES (?, ?)", (identity, model))
            known = int(self._row("SELECT id FROM servers WHERE identity = ? AND model = ?", (identity, model))[0])
            self._servers[identity, model] = known
        return known

    def _work(self) -> None:
        """The thread: takes what has gathered, does it in one transaction, and answers after the commit."""
        ending = False
        while not ending:
            jobs = [self._jobs.get()]
            while len(jobs) < GROUP and not self._jobs.empty():
                jobs.append(self._jobs.get())
            ending = None in jobs
            group = [job for job in jobs if job is not None]
            if group:
                self._transact(group)

    def _transact(self, group: list[_Job]) -> None:
        results: list[Any] = []
        failure: BaseException | None = None
        try:
            self._connection.execute("BEGIN IMMEDIATE" if any(job.writes for job in group) else "BEGIN")
            results = [job.work() for job in group]
            self._connection.execute("COMMIT")
        except Exception as error:  # whatever it is, it belongs to the callers that wait, not to this thread
            failure = error
            self._servers.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if len(group) > 1 and not isinstance(error, sqlite3.OperationalError):
                for job in group:  # one record's fault, not the file's: the others go in without it
                    self._transact([job])
                return
        for loop in {job.loop for job in group}:
            mine = [i for i, job in enumerate(group) if job.loop is loop]
            with suppress(RuntimeError):  # the loop has ended, and nobody waits there any more
                loop.call_soon_threadsafe(
                    _answer,
                    [group[i].future for i in mine],
                    failure,
                    [results[i] for i in mine] if failure is None else [],
                )


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


def _answer(futures: list[asyncio.Future[Any]], failure: BaseException | None, results: list[Any]) -> None:
    for i, future in enumerate(futures):
        if future.cancelled():
            continue
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(results[i])


def _open(path: Path) -> sqlite3.Connection:
    connection = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        _is_new(connection, path)  # before the journal mode, which is kept in the file
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 10000")
        connection.execute("BEGIN IMMEDIATE")
        if _is_new(connection, path):
            for statement in TABLES.split(";"):
                connection.execute(statement)
        connection.execute("COMMIT")
    except (sqlite3.Error, OSError, ConfigError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"output.store: {path} can't be used as the candidate store ({error}). It was left as it is."
        ) from error
    return connection


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is empty still; a ConfigError where it is anything but a store of this version."""
    # One statement, so that a process that makes the tables in this moment has made all of them or none.
    application, version, tables = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), "
        "(SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != APPLICATION:
        raise ConfigError(
            f"output.store: {path} is not a candidate store of bon_hydra; name another file. It was left as it is."
        )
    if version != VERSION:
        raise ConfigError(
            f"output.store: {path} was written by a newer bon_hydra (store version {version}, this one reads "
            f"{VERSION}); update it, or name another file. It was left as it is."
        )
    return False
