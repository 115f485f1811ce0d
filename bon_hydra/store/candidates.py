"""What a run sees of the store: candidates under keys that say what determines them, and who is drawing which.

Keeps response bodies as they arrived; reads neither bodies nor keys. A call returns when its data is committed. The
first stored answer of a key wins, in every process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard

import bon_hydra.store.ledger as ledger
from bon_hydra.schema import ConfigError
from bon_hydra.store.file import open_file
from bon_hydra.store.ledger import Payment, Refused
from bon_hydra.store.sittings import Sitting, bury, is_alive
from bon_hydra.store.transactions import Transactions

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    choices: int = 1
    """How many choices of the body were asked for, and so share its bill."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a run has asked and got so far."""

    answered: int
    """Requests that brought an answer."""
    failed: int
    """Requests that brought none."""
    candidates: int


class CandidateStore:
    """The open store. Use it as a context manager.

    Args:
        run_id: the run whose sitting this is; without one nothing can be claimed or reserved.
        dataset: what that run reads, for estimates of later runs.

    Raises:
        ConfigError: the file can't be opened, is not a store, is of another version, or lies on a network.
    """

    def __init__(self, path: Path, run_id: str | None = None, dataset: str = "") -> None:
        self.path = path
        try:
            self._connection = open_file(path)
        except ConfigError as error:
            raise ConfigError(f"output.store: {error}") from error
        self._servers: dict[tuple[str, str], int] = {}
        self._pack = zstandard.ZstdCompressor(level=3, write_checksum=True).compress
        self._unpack = zstandard.ZstdDecompressor().decompress
        self._sitting = None if run_id is None else self._sit_down(run_id, dataset)
        self._transactions = Transactions(path, self._connection, self._servers.clear)

    def __enter__(self) -> CandidateStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits until everything handed over is committed, and frees what this sitting had claimed."""
        self._transactions.close()
        try:
            if self._sitting is not None:
                self._connection.execute("BEGIN IMMEDIATE")
                bury(self._connection, self.path, self._sitting.id)
                self._connection.execute("COMMIT")
        except sqlite3.Error:  # a full disk, say: then the next sitting buries this one
            pass
        finally:
            if self._sitting is not None:
                self._sitting.end()
                self._sitting = None
            self._connection.close()

    async def get(self, keys: Sequence[bytes]) -> list[Stored | None]:
        """What is there under each key, None where nothing is; choices of one response share its body."""

        def work() -> list[Stored | None]:
            bodies: dict[int, bytes] = {}
            return [self._get(key, bodies) for key in keys]

        found: list[Stored | None] = await self._transactions.do(work)
        return found

    async def count(self, keys: Sequence[bytes]) -> int:
        """How many of the keys have a candidate."""
        found: int = await self._transactions.do(
            lambda: sum(self._row("SELECT 1 FROM candidates WHERE key = ?", (key,)) is not None for key in keys)
        )
        return found

    async def claim(self, keys: Sequence[bytes]) -> list[Stored | bool]:
        """For each key what is there, else True where it is now this sitting's to draw, False where another draws it.

        A key that was claimed here before is False too: somebody else in this process is drawing it.
        """
        found: list[Stored | bool] = await self._transactions.do(lambda: [self._claim(key) for key in keys], True)
        return found

    async def release(self, keys: Sequence[bytes]) -> None:
        """Lets others draw what this sitting claimed and did not get."""
        await self._transactions.do(lambda: self._release(keys), True)

    async def put(
        self, keys: Sequence[bytes], new: Stored, identity: str, model: str, payment: Payment | None = None
    ) -> list[Stored]:
        """Keeps a body, its first choices under `keys` in order; returns what is there after, the first stored of each.

        Its bill is paid and its claims end in the same moment.
        """
        kept: list[Stored] = await self._transactions.do(lambda: self._put(keys, new, identity, model, payment), True)
        return kept

    async def verdicts(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The verdicts kept under these keys, None where there is none."""

        def work() -> list[bytes | None]:
            rows = (self._row("SELECT verdict FROM verdicts WHERE key = ?", (key,)) for key in keys)
            return [None if row is None else row[0] for row in rows]

        found: list[bytes | None] = await self._transactions.do(work)
        return found

    async def keep_verdicts(self, verdicts: Sequence[tuple[bytes, bytes]]) -> None:
        """Keeps verdicts under keys; what is there already stays."""

        def work() -> None:
            self._connection.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", verdicts)

        await self._transactions.do(work, True)

    async def failed(self, run_id: str) -> None:
        """Counts a request of the run that brought no answer."""

        def work() -> None:
            self._connection.execute("UPDATE runs SET failed = failed + 1 WHERE run_id = ?", (run_id,))

        await self._transactions.do(work, True)

    async def done(self, run_id: str) -> Done:
        """What a run has asked and got, in all its sittings."""
        row: Any = await self._transactions.do(
            lambda: self._row("SELECT answered, failed, candidates FROM runs WHERE run_id = ?", (run_id,))
        )
        return Done(*row) if row else Done(0, 0, 0)

    async def reserve(self, account: str, usd: float, budget_usd: float) -> int | Refused:
        """Sets a request's worst case aside before it is sent; its number, or why it does not fit."""
        sitting = self._own()
        found: int | Refused = await self._transactions.do(
            lambda: ledger.reserve(self._connection, account, sitting, usd, budget_usd), True
        )
        return found

    async def pay(self, payment: Payment) -> None:
        """Settles a request that brought no answer."""
        run_id = self._own().run_id
        await self._transactions.do(lambda: ledger.pay(self._connection, payment, run_id), True)

    async def spent(self, account: str) -> float:
        """USD that the account has spent, or may have, in all sittings."""
        usd: float = await self._transactions.do(lambda: ledger.spent(self._connection, account))
        return usd

    async def described(self, identity: str, model: str) -> str | None:
        """What a server said of its model when answers of it came here first; None where there is none, or it did not.

        Where no answer is here, nothing is described.
        """
        row: Any = await self._transactions.do(
            lambda: self._row(
                "SELECT described FROM servers WHERE identity = ? AND model = ? "
                "AND EXISTS (SELECT 1 FROM responses WHERE server = servers.id)",
                (identity, model),
            )
        )
        return None if row is None else row[0]

    async def describe(self, identity: str, model: str, text: str) -> None:
        """Keeps what a server says of its model, for `described`."""

        def work() -> None:
            number = self._server(identity, model)
            self._connection.execute("UPDATE servers SET described = ? WHERE id = ?", (text, number))

        await self._transactions.do(work, True)

    async def history(self, identity: str, model: str, dataset: str, most: int) -> list[Stored]:
        """Up to `most` answers that this model gave earlier runs over this data set, the newest run's first."""

        def work() -> list[Stored]:
            found: list[Stored] = []
            runs = "SELECT run_id, first_response FROM runs WHERE dataset = ? ORDER BY first_response DESC LIMIT 20"
            for run_id, first in self._connection.execute(runs, (dataset,)).fetchall():
                rows = self._connection.execute(
                    "SELECT id, body, 0, NULL, run_id, created_us, latency_s, attempts, request_id, choices "
                    "FROM responses WHERE id >= ? AND run_id = ? AND server = "
                    "(SELECT id FROM servers WHERE identity = ? AND model = ?) LIMIT ?",
                    (first, run_id, identity, model, most - len(found)),
                )
                for one in (self._stored(row, {}) for row in rows):
                    found += [replace(one, choice=choice) for choice in range(one.choices)]
                if len(found) >= most:
                    break
            return found[:most]

        answers: list[Stored] = await self._transactions.do(work)
        return answers

    def _sit_down(self, run_id: str, dataset: str) -> Sitting:
        sitting = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            sitting = Sitting(self._connection, self.path, run_id)
            self._connection.execute(
                "INSERT OR IGNORE INTO runs VALUES (?, ?, (SELECT coalesce(max(id), 0) + 1 FROM responses), 0, 0, 0)",
                (run_id, dataset),
            )
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if sitting is not None:
                sitting.end()
            self._connection.close()
            raise ConfigError(f"output.store: {self.path} can't be written ({error}). It was left as it is.") from error
        return sitting

    def _own(self) -> Sitting:
        assert self._sitting is not None, "opened without a run"
        return self._sitting

    def _row(self, sql: str, values: tuple[Any, ...]) -> Any:
        return self._connection.execute(sql, values).fetchone()

    def _get(self, key: bytes, bodies: dict[int, bytes] | None = None) -> Stored | None:
        row = self._row(
            "SELECT response, body, choice, seed, run_id, created_us, latency_s, attempts, request_id, choices "
            "FROM candidates JOIN responses ON responses.id = response WHERE key = ?",
            (key,),
        )
        return None if row is None else self._stored(row, {} if bodies is None else bodies)

    def _stored(self, row: tuple[Any, ...], bodies: dict[int, bytes]) -> Stored:
        """A row as it is kept; `bodies` has those that are unpacked, by response."""
        response, packed, choice, seed, run_id, created_us, latency_s, attempts, request_id, choices = row
        body = bodies.get(response)
        if body is None:
            body = bodies[response] = self._unpack(packed)
        created_at = EPOCH + timedelta(microseconds=created_us)
        return Stored(body, choice, seed, run_id, created_at, latency_s, attempts, request_id, choices)

    def _claim(self, key: bytes) -> Stored | bool:
        if found := self._get(key):
            return found
        holder = self._row("SELECT sitting FROM claims WHERE key = ?", (key,))
        if holder is not None:
            if holder[0] == self._own().id or is_alive(self.path, holder[0]):
                return False
            bury(self._connection, self.path, holder[0])
        self._connection.execute("INSERT INTO claims VALUES (?, ?)", (key, self._own().id))
        return True

    def _release(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._connection.execute("DELETE FROM claims WHERE key = ? AND sitting = ?", (key, self._own().id))

    def _put(
        self, keys: Sequence[bytes], new: Stored, identity: str, model: str, payment: Payment | None
    ) -> list[Stored]:
        response = self._connection.execute(
            "INSERT INTO responses (server, body, run_id, created_us, latency_s, attempts, request_id, choices) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._server(identity, model),
                self._pack(new.body),
                new.run_id,
                (new.created_at - EPOCH) // timedelta(microseconds=1),
                new.latency_s,
                new.attempts,
                new.request_id,
                len(keys),
            ),
        ).lastrowid
        kept = []
        for choice, key in enumerate(keys):
            seed = None if new.seed is None else new.seed + choice
            inserted = self._connection.execute(
                "INSERT OR IGNORE INTO candidates VALUES (?, ?, ?, ?)", (key, response, choice, seed)
            ).rowcount
            first = replace(new, choice=choice, seed=seed, choices=len(keys)) if inserted else self._get(key)
            assert first is not None
            kept.append(first)
        if self._sitting is not None:
            self._release(keys)
            self._connection.execute(
                "UPDATE runs SET answered = answered + 1, candidates = candidates + ? WHERE run_id = ?",
                (sum(one.run_id == new.run_id for one in kept), new.run_id),
            )
        if payment is not None:
            ledger.pay(self._connection, payment, new.run_id)
        return kept

    def _server(self, identity: str, model: str) -> int:
        known = self._servers.get((identity, model))
        if known is None:
            self._connection.execute("INSERT OR IGNORE INTO servers (identity, model) VALUES (?, ?)", (identity, model))
            known = int(self._row("SELECT id FROM servers WHERE identity = ? AND model = ?", (identity, model))[0])
            self._servers[identity, model] = known
        return known
