"""The thread that alone touches the store's file: takes what has gathered, does it in one transaction, and answers.

Knows SQLite and event loops; does not know what the work is.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from bon_hydra.store.file import trouble

GROUP = 256
"""At most so many pieces of work in one transaction."""


class StoreFailed(Exception):
    """The store's file can't be read or written any more: a full disk, a damaged file. What was committed is kept."""


class Transactions:
    """Work on one connection, in the order given; a call returns when its transaction is committed."""

    def __init__(self, path: Path, connection: sqlite3.Connection, on_rollback: Callable[[], None]) -> None:
        self._path, self._connection, self._on_rollback = path, connection, on_rollback
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="candidate-store", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[], Any], writes: bool = False) -> Any:
        """What `work` returns, once it is committed. That is no cursor: those must end in the store's own thread.

        Raises:
            StoreFailed: the file can't be used; whatever else `work` raises comes as it is.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put(_Job(work, writes, loop, future))
        return await future

    def close(self) -> None:
        """Waits until everything handed over is committed."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
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
            results = [_without_cursor(job.work()) for job in group]
            self._connection.execute("COMMIT")
        except Exception as error:  # whatever it is, it belongs to the callers that wait, not to this thread
            failure = self._explained(error)
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            self._on_rollback()
            if len(group) > 1 and not isinstance(failure, StoreFailed):
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

    def _explained(self, error: Exception) -> Exception:
        """What is the file's fault and not a record's, in words."""
        if isinstance(error, zstandard.ZstdError):  # every body carries a checksum of its own
            error = sqlite3.DatabaseError(f"an answer cannot be unpacked: {error}")
        said = trouble(error, self._path) if isinstance(error, sqlite3.Error) else None
        if said is None:
            return error
        return StoreFailed(f"output.store: {self._path}: {said}, then resume. What was committed is kept.")


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[], Any]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


def _without_cursor(result: Any) -> Any:
    """A cursor that dies in another thread resets its statement there, in the midst of what this one does with it."""
    return None if isinstance(result, sqlite3.Cursor) else result


def _answer(futures: list[asyncio.Future[Any]], failure: BaseException | None, results: list[Any]) -> None:
    for i, future in enumerate(futures):
        if future.cancelled():
            continue
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(results[i])
