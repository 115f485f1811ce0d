"""Adding to a store what other stores have and it has not, while others may be at work on all of them.

What both have stays as it is here: the first stored answer of a key wins. A merge that was killed is gone on with by
the same merge, and one that is repeated changes nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bon_hydra.schema import ConfigError
from bon_hydra.store.file import check, open_file, reading, trouble
from bon_hydra.store.sittings import is_alive

ROWS = 2000
"""At most about so many rows in one transaction, and"""
BYTES = 8_000_000
"""so many bytes of bodies: others wait while it is written, and it is what is in memory."""
PAUSE_S = 0.25
"""Who waits for the file looks for it ten times a second."""


@dataclass(slots=True)
class Merged:
    """What one store brought."""

    path: Path
    candidates: int = 0
    """Added."""
    responses: int = 0
    """Added."""
    present: int = 0
    """Candidates whose keys had an answer already."""
    verdicts: int = 0
    """Added."""
    runs: int = 0
    """Added."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response with those of its candidates that seemed to be missing."""

    response: tuple[Any, ...]
    body: bytes
    candidates: Sequence[tuple[bytes, int, int | None]]


def merge(sources: Sequence[Path], into: Path) -> Iterator[Merged]:
    """Adds what each source has and `into` has not; says after each what that was. Sources are only read.

    Raises:
        ConfigError: a source is no store of this version or damaged (then nothing of any was added), or speaks of
            another model under the same name (nothing of that one was); `into` can't be opened or written.
    """
    for source in sources:
        if into.exists() and source.exists() and into.samefile(source):
            raise ConfigError(f"{source}: cannot be merged into itself")
        with reading(source) as there:
            check(there, source)
    here = open_file(into)
    try:
        for source in sources:
            with reading(source) as there:
                merged = _Merge(there, source, here, into).done()
            yield merged
    finally:
        here.close()


class _Merge:
    """One source's way into a store."""

    def __init__(self, there: sqlite3.Connection, source: Path, here: sqlite3.Connection, into: Path) -> None:
        self._there, self._here, self._into = there, here, into
        self._source = source
        self._merged = Merged(source)
        self._runs = {
            row[0]: row for row in there.execute("SELECT run_id, dataset, answered, failed FROM runs ORDER BY rowid")
        }
        self._described = there.execute(
            "SELECT id, identity, model, described FROM servers WHERE id IN (SELECT server FROM responses)"
        ).fetchall()  # a server without answers is nobody's

    def done(self) -> Merged:
        with self._writing():
            self._servers()
        for answers in self._answers():
            self._add(answers)
        for verdicts in self._verdicts():
            with self._writing():
                self._merged.verdicts += self._here.executemany(
                    "INSERT OR IGNORE INTO verdicts VALUES (?, ?)", verdicts
                ).rowcount
        accounts = self._accounts()
        with self._writing():
            for run_id in list(self._runs):
                self._add_run(run_id)
            # A run sits at one store at a time, so of two figures for it the larger is the later; an account that
            # several runs spend from is the sum over its runs.
            self._here.executemany(
                "INSERT INTO accounts (name, run_id, spent_usd) VALUES (?, ?, ?) ON CONFLICT (name, run_id) "
                "DO UPDATE SET spent_usd = max(spent_usd, excluded.spent_usd)",
                accounts,
            )
        return self._merged

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction; after it others have time for theirs."""
        started = time.monotonic()
        with self._asking():
            self._here.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            try:
                yield
            except BaseException:
                if self._here.in_transaction:
                    self._here.execute("ROLLBACK")
                raise
            self._here.execute("COMMIT")
        time.sleep(min(PAUSE_S, time.monotonic() - started))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What goes wrong is the fault of the store that is merged into."""
        try:
            yield
        except sqlite3.Error as error:
            said = trouble(error, self._into) or error
            raise ConfigError(
                f"{self._into}: {said}, then give the same command again. What was merged is kept."
            ) from error

    def _servers(self) -> dict[int, int]:
        """Its servers' numbers here, by their numbers there.

        In each transaction again: whoever is at work here may be the first to describe a server.
        """
        numbers = {}
        for number, identity, model, described in self._described:
            self._here.execute("INSERT OR IGNORE INTO servers (identity, model) VALUES (?, ?)", (identity, model))
            own, own_described, answered = self._here.execute(
                "SELECT id, described, EXISTS (SELECT 1 FROM responses WHERE server = servers.id) FROM servers "
                "WHERE identity = ? AND model = ?",
                (identity, model),
            ).fetchone()
            if answered and own_described and described and own_described != described:
                raise ConfigError(
                    f"model.identity: {self._source} holds answers of another {model} than {self._into} does, both "
                    f"under {identity} (there: {described}; here: {own_described}), and the two must not be mixed. "
                    "Leave that store out; new runs that ask one of the two set model.identity=NAME."
                )
            if described and not (answered and own_described):
                self._here.execute("UPDATE servers SET described = ? WHERE id = ?", (described, own))
            numbers[number] = own
        return numbers

    def _answers(self) -> Iterator[list[_Answer]]:
        """What seems to be missing here, as much at a time as one transaction takes."""
        rows = self._there.execute(
            "SELECT responses.id, server, run_id, created_us, latency_s, attempts, request_id, choices, "
            "key, choice, seed "
            "FROM candidates CROSS JOIN responses ON responses.id = response ORDER BY candidates.rowid"
        )
        gathered: list[_Answer] = []
        count = size = 0
        for response, its in groupby(rows, key=lambda row: row[:8]):
            missing = self._missing([row[8:] for row in its])
            if missing:
                (body,) = self._there.execute("SELECT body FROM responses WHERE id = ?", response[:1]).fetchone()
                gathered.append(_Answer(response, body, missing))
                count, size = count + len(missing), size + len(body)
            if count >= ROWS or size >= BYTES:
                yield gathered
                gathered, count, size = [], 0, 0
        if gathered:
            yield gathered

    def _missing(self, candidates: Sequence[tuple[bytes, int, int | None]]) -> list[tuple[bytes, int, int | None]]:
        with self._asking():
            missing = [
                one
                for one in candidates
                if self._here.execute("SELECT 1 FROM candidates WHERE key = ?", one[:1]).fetchone() is None
            ]
        self._merged.present += len(candidates) - len(missing)
        return missing

    def _add(self, answers: Sequence[_Answer]) -> None:
        with self._writing():
            servers = self._servers()
            for answer in answers:
                missing = self._missing(answer.candidates)  # others may have been quicker
                if not missing:
                    continue
                _, server, run_id, *others = answer.response
                self._add_run(run_id)
                response = self._here.execute(
                    "INSERT INTO responses "
                    "(server, body, run_id, created_us, latency_s, attempts, request_id, choices) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (servers[server], answer.body, run_id, *others),
                ).lastrowid
                self._here.executemany(
                    "INSERT INTO candidates VALUES (?, ?, ?, ?)",
                    [(key, response, choice, seed) for key, choice, seed in missing],
                )
                self._here.execute(
                    "UPDATE runs SET candidates = candidates + ? WHERE run_id = ?", (len(missing), run_id)
                )
                self._merged.responses += 1
                self._merged.candidates += len(missing)

    def _add_run(self, run_id: str) -> None:
        """With its first answer, so that runs stand in the order of their answers. In a transaction."""
        row = self._runs.pop(run_id, None)
        if row is None:
            return
        known = self._here.execute("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)).fetchone() is not None
        self._here.execute(
            "INSERT INTO runs VALUES (?, ?, (SELECT coalesce(max(id), 0) + 1 FROM responses), ?, ?, 0) "
            "ON CONFLICT (run_id) DO UPDATE "
            "SET answered = max(answered, excluded.answered), failed = max(failed, excluded.failed)",
            row,
        )
        self._merged.runs += not known

    def _verdicts(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Those that seem to be missing here."""
        gathered: list[tuple[bytes, bytes]] = []
        size = 0
        for key, verdict in self._there.execute("SELECT key, verdict FROM verdicts"):
            with self._asking():
                if self._here.execute("SELECT 1 FROM verdicts WHERE key = ?", (key,)).fetchone():
                    continue
            gathered.append((key, verdict))
            size += len(verdict)
            if len(gathered) >= ROWS or size >= BYTES:
                yield gathered
                gathered, size = [], 0
        if gathered:
            yield gathered

    def _accounts(self) -> list[tuple[str, str, float]]:
        """What each run has spent of each account; what dead sittings had reserved counts as spent."""
        sittings = self._there.execute("SELECT id FROM sittings").fetchall()
        living = ", ".join(str(sitting) for (sitting,) in sittings if is_alive(self._source, sitting))
        return self._there.execute(
            "SELECT name, run_id, spent_usd + coalesce((SELECT sum(usd) FROM reservations "
            f"WHERE account = accounts.id AND sitting NOT IN ({living})), 0) FROM accounts"
        ).fetchall()
