"""What was spent, and what may yet be: an account a run (or sweep), and the requests in flight that it reserved.

All functions want a transaction that writes. A reservation stands from before its request is sent until its bill is
known; of a dead sitting it counts as spent (see `sittings`). An account says apart what each of its runs has spent,
so that two stores that both know of it can be merged.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bon_hydra.store.sittings import Sitting


@dataclass(frozen=True, slots=True)
class Payment:
    """What a request has cost, and the reservation that it settles."""

    account: str
    usd: float
    reservation: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A reservation that did not fit; `in_flight` others are open and may leave room when they settle."""

    in_flight: int


def reserve(
    connection: sqlite3.Connection, account: str, sitting: Sitting, usd: float, budget_usd: float
) -> int | Refused:
    """Sets `usd` aside where it fits below `budget_usd` with all that is spent and set aside; its number."""
    in_flight, set_aside = _set_aside(connection, account)
    if _spent(connection, account) + set_aside + usd > budget_usd:
        return Refused(in_flight)
    return int(
        connection.execute(
            "INSERT INTO reservations (account, sitting, usd) VALUES (?, ?, ?)",
            (_line(connection, account, sitting.run_id), sitting.id, usd),
        ).lastrowid
        or 0
    )


def pay(connection: sqlite3.Connection, payment: Payment, run_id: str) -> None:
    """Adds a bill to what the run has spent of the account, in place of its reservation."""
    line = _line(connection, payment.account, run_id)
    connection.execute("UPDATE accounts SET spent_usd = spent_usd + ? WHERE id = ?", (payment.usd, line))
    if payment.reservation is not None:
        connection.execute("DELETE FROM reservations WHERE id = ?", (payment.reservation,))


def spent(connection: sqlite3.Connection, account: str) -> float:
    """USD that the account has spent, or may have, what is set aside included."""
    return _spent(connection, account) + _set_aside(connection, account)[1]


def _spent(connection: sqlite3.Connection, account: str) -> float:
    row = connection.execute("SELECT sum(spent_usd) FROM accounts WHERE name = ?", (account,)).fetchone()
    return float(row[0] or 0)


def _set_aside(connection: sqlite3.Connection, account: str) -> tuple[int, float]:
    count, usd = connection.execute(
        "SELECT count(*), sum(usd) FROM reservations WHERE account IN (SELECT id FROM accounts WHERE name = ?)",
        (account,),
    ).fetchone()
    return int(count), float(usd or 0)


def _line(connection: sqlite3.Connection, account: str, run_id: str) -> int:
    """The number of what a run has spent of an account."""
    values = (account, run_id)
    connection.execute("INSERT OR IGNORE INTO accounts (name, run_id, spent_usd) VALUES (?, ?, 0.0)", values)
    return int(connection.execute("SELECT id FROM accounts WHERE name = ? AND run_id = ?", values).fetchone()[0])
