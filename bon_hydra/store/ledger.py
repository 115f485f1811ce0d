"""What was spent, and what may yet be: an account a run (or sweep), and the requests in flight that it reserved.

All functions want a transaction that writes. A reservation stands from before its request is sent until its bill is
known; of a dead sitting it counts as spent (see `sittings`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


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


def reserve(connection: sqlite3.Connection, account: str, sitting: int, usd: float, budget_usd: float) -> int | Refused:
    """Sets `usd` aside where it fits below `budget_usd` with all that is spent and set aside; its number."""
    number, spent = _account(connection, account)
    in_flight, set_aside = connection.execute(
        "SELECT count(*), coalesce(sum(usd), 0.0) FROM reservations WHERE account = ?", (number,)
    ).fetchone()
    if spent + set_aside + usd > budget_usd:
        return Refused(in_flight)
    return int(
        connection.execute(
            "INSERT INTO reservations (account, sitting, usd) VALUES (?, ?, ?)", (number, sitting, usd)
        ).lastrowid
        or 0
    )


def pay(connection: sqlite3.Connection, payment: Payment) -> None:
    """Adds a bill to what the account has spent, in place of its reservation."""
    number, _ = _account(connection, payment.account)
    connection.execute("UPDATE accounts SET spent_usd = spent_usd + ? WHERE id = ?", (payment.usd, number))
    if payment.reservation is not None:
        connection.execute("DELETE FROM reservations WHERE id = ?", (payment.reservation,))


def spent(connection: sqlite3.Connection, account: str) -> float:
    """USD that the account has spent, or may have, what is set aside included."""
    row = connection.execute(
        "SELECT spent_usd + coalesce((SELECT sum(usd) FROM reservations WHERE account = accounts.id), 0.0) "
        "FROM accounts WHERE name = ?",
        (account,),
    ).fetchone()
    return float(row[0]) if row else 0.0


def _account(connection: sqlite3.Connection, name: str) -> tuple[int, float]:
    find = "SELECT id, spent_usd FROM accounts WHERE name = ?"
    row = connection.execute(find, (name,)).fetchone()
    if row is None:
        connection.execute("INSERT INTO accounts (name, spent_usd) VALUES (?, 0.0)", (name,))
        row = connection.execute(find, (name,)).fetchone()
    return int(row[0]), float(row[1])
