"""Who is at work on a store: one sitting a process and run, alive as long as its lock is held.

A sitting's lock is a small file beside the store, locked as long as the process lives: the system lets go of it
however the process ends, on any host that shares the file, and in any container. What a dead sitting claimed is
free again; what it had reserved counts as spent, since its bills may yet have been written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sqlite3
from pathlib import Path


class Sitting:
    """This process's own sitting for one run. No two ever have the same id."""

    def __init__(self, connection: sqlite3.Connection, store: Path, run_id: str) -> None:
        """Within a transaction that writes. What dead sittings left is settled first."""
        bury_dead(connection, store)
        self.run_id = run_id
        self.id = int(
            connection.execute(
                "INSERT INTO sittings (run_id, host, pid) VALUES (?, ?, ?)", (run_id, socket.gethostname(), os.getpid())
            ).lastrowid
            or 0
        )
        # Nobody else sees the row before the commit, and by then the lock is held.
        self._path = lock_file(store, self.id)
        self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def end(self) -> None:
        """Lets go of the lock, as death would."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._lock)


def lock_file(store: Path, sitting: int) -> Path:
    """Where a sitting's lock is: one place, by whatever link the store is reached."""
    real = Path(os.path.realpath(store))
    return real.with_name(f"{real.name}-sitting-{sitting}")


def is_alive(store: Path, sitting: int) -> bool:
    """Whether the process of a sitting still runs."""
    try:
        descriptor = os.open(lock_file(store, sitting), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:  # shared, so that two who look at once don't take each other for it
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def bury_dead(connection: sqlite3.Connection, store: Path) -> None:
    """Settles what sittings left whose processes are gone. Within a transaction that writes."""
    for (sitting,) in connection.execute("SELECT id FROM sittings").fetchall():
        if not is_alive(store, sitting):
            bury(connection, store, sitting)


def bury(connection: sqlite3.Connection, store: Path, sitting: int) -> None:
    """Frees a sitting's claims, counts its open reservations as spent and takes its lock away."""
    with contextlib.suppress(OSError):
        lock_file(store, sitting).unlink()
    connection.execute("DELETE FROM claims WHERE sitting = ?", (sitting,))
    connection.execute(
        "UPDATE accounts SET spent_usd = spent_usd + (SELECT sum(usd) FROM reservations "
        "WHERE account = accounts.id AND sitting = ?1) "
        "WHERE id IN (SELECT account FROM reservations WHERE sitting = ?1)",
        (sitting,),
    )
    connection.execute("DELETE FROM reservations WHERE sitting = ?", (sitting,))
    connection.execute("DELETE FROM sittings WHERE id = ?", (sitting,))
