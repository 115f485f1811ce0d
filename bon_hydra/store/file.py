"""Opening the store's file: made where there is none, refused and left as it is where it is anything else.

Knows the tables and what can be wrong with a file; does not know what is asked of it.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from bon_hydra.schema import ConfigError

VERSION = 4
APPLICATION = 0x626F6E68
"""SQLite's mark of whose file it is: `bonh`."""
BUSY_S = 60.0
"""How long a transaction waits for another process's."""

HOST_STORES = "store-of-*.sqlite"
"""In a sweep's folder: the store of one host's jobs. No other host opens it before they have ended, so that it may lie
on a network: SQLite's WAL wants all processes that use a file at once on one host."""

NETWORK = re.compile(
    r"(nfs4?|cifs|smb3|smbfs|afs|ceph|lustre|gpfs|beegfs|glusterfs|"
    r"fuse\.(sshfs|s3fs|gcsfuse|rclone|glusterfs|ceph|juicefs|goofys|mount-s3))"
)
"""File systems whose locks and shared memory SQLite's WAL mode cannot trust between hosts."""

TABLES = f"""
CREATE TABLE servers (
    id INTEGER PRIMARY KEY, identity TEXT NOT NULL, model TEXT NOT NULL, described TEXT, UNIQUE (identity, model)
);
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, first_response INTEGER NOT NULL,
    answered INTEGER NOT NULL, failed INTEGER NOT NULL, candidates INTEGER NOT NULL
);
CREATE TABLE responses (
    id INTEGER PRIMARY KEY, server INTEGER NOT NULL REFERENCES servers (id), body BLOB NOT NULL, run_id TEXT NOT NULL,
    created_us INTEGER NOT NULL, latency_s REAL NOT NULL, attempts INTEGER NOT NULL, request_id TEXT,
    choices INTEGER NOT NULL
);
CREATE TABLE candidates (
    key BLOB NOT NULL, response INTEGER NOT NULL REFERENCES responses (id), choice INTEGER NOT NULL, seed INTEGER
);
CREATE UNIQUE INDEX candidate_key ON candidates (key);
CREATE TABLE verdicts (key BLOB NOT NULL, verdict BLOB NOT NULL);
CREATE UNIQUE INDEX verdict_key ON verdicts (key);
CREATE TABLE sittings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL
);
CREATE TABLE claims (key BLOB PRIMARY KEY, sitting INTEGER NOT NULL REFERENCES sittings (id)) WITHOUT ROWID;
CREATE INDEX claim_sitting ON claims (sitting);
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, run_id TEXT NOT NULL, spent_usd REAL NOT NULL, UNIQUE (name, run_id)
);
CREATE TABLE reservations (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL REFERENCES accounts (id), sitting INTEGER NOT NULL,
    usd REAL NOT NULL
);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


def open_file(path: Path, make: bool = True) -> sqlite3.Connection:
    """The store's connection, in WAL mode, in transactions of the caller's own; any thread may use it, one at a time.

    Args:
        make: make the file, and its folder, where there is none.

    Raises:
        ConfigError: the file can't be opened or written, is not a store, is of another version, or lies where several
            hosts could corrupt it.
    """
    _refuse_network(path)
    connection = None
    try:
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        else:
            _refuse_absent(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        if _is_new(connection, path) and not make:  # before the journal mode, which is kept in the file
            raise _empty(path)
        _use_wal(connection)
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
        raise _unusable(path, error) from error
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switches the journal mode; SQLite does not wait by itself where another process opens the file in this moment."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One snapshot of a store that is there, by a connection that changes nothing and leaves nothing beside the file.

    Others may write meanwhile. Also on a file system that is read-only.

    Raises:
        ConfigError: as `open_file`; also where there is no store, and where what is read turns out to be damaged.
    """
    _refuse_network(path)
    _refuse_absent(path)
    real = Path(os.path.realpath(path))
    log = real.with_name(real.name + "-wal")
    if log.exists() and log.stat().st_size:
        modes = ["mode=ro"]
    elif os.access(real, os.W_OK) and os.access(real.parent, os.W_OK):
        # A connection that may not write leaves a log behind, which it needs while it is open; one that may takes it
        # away. The other way is for a disk that is too full for that.
        modes = ["mode=rw", "immutable=1"]
    else:
        modes = ["immutable=1"]
    connection = None
    try:
        connection = _opened_to_read(real, modes)
        if _is_new(connection, path):
            raise _empty(path)
        yield connection
    except sqlite3.OperationalError as error:
        if modes == ["mode=ro"] and not os.access(real.parent, os.W_OK):
            raise ConfigError(
                f"{path} can't be read where nothing can be written, since its last writer was killed; copy it "
                f"together with {log.name} to a folder of yours"
            ) from error
        raise ConfigError(f"{path}: {trouble(error, path)}") from error
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error
    finally:
        if connection is not None:
            connection.close()


def _opened_to_read(path: Path, modes: Sequence[str]) -> sqlite3.Connection:
    """In a transaction, in the first of the modes in which it can be had."""
    uri = f"file:{quote(str(path))}?{modes[0]}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError) and "locked" not in str(error) and modes[1:]:
            return _opened_to_read(path, modes[1:])
        raise
    return connection


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Reads the whole file, and raises a ConfigError where it is damaged."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _unusable(path, sqlite3.DatabaseError(" ".join(found.split())))


def trouble(error: sqlite3.Error, path: Path) -> str | None:
    """What is wrong with the file, and what to do about it; None where it is a record's fault and not the file's."""
    if type(error) is sqlite3.DatabaseError:
        return f"it is damaged ({error}). It was left as it is; bring back a copy, or name another file"
    if not isinstance(error, sqlite3.OperationalError):
        return None
    if "locked" in str(error):
        return f"another process has held it for more than {BUSY_S:.0f} s. Let that end"
    if "full" in str(error) or _is_full(path):
        return "the disk is full. Free some space"
    return f"it cannot be read or written any more ({error}). Mend that"


def _unusable(path: Path, error: Exception) -> ConfigError:
    if type(error) is sqlite3.DatabaseError and "not a database" not in str(error):
        return ConfigError(
            f"{path} is damaged ({error}). It was left as it is. Bring back a copy; what can be read still is had by: "
            f"sqlite3 {path} .recover"
        )
    why = "the disk is full" if _is_full(path) else error
    return ConfigError(f"{path} can't be used as the candidate store ({why}). It was left as it is.")


def _is_full(path: Path) -> bool:
    """Where a file cannot grow any more, SQLite may say no more than that a write has failed."""
    try:
        return shutil.disk_usage(path).free < 100_000
    except OSError:
        return False


def _empty(path: Path) -> ConfigError:
    return ConfigError(f"{path} is an empty file, no candidate store yet")


def _refuse_network(path: Path) -> None:
    if path.match(HOST_STORES):
        return
    if kind := network_mount(path):
        raise ConfigError(
            f"{path} lies on a network file system ({kind}), where a store cannot be kept safely. "
            "Name a file on a local disk: output.store=/local/store.sqlite"
        )


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"{path}: {'this is no file' if path.exists() else 'there is no store here'}")


def is_store(path: Path) -> bool:
    """Whether a file is one of ours, of whatever version; nothing is opened or made."""
    try:
        with path.open("rb") as file:
            head = file.read(72)
    except (OSError, ValueError):
        return False
    return head.startswith(b"SQLite format 3\0") and head[68:72] == APPLICATION.to_bytes(4, "big")


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
        raise ConfigError(f"{path} is not a candidate store of bon_hydra; name another file. It was left as it is.")
    if version != VERSION:
        newer = version > VERSION
        raise ConfigError(
            f"{path} was written by {'a newer' if newer else 'an older'} bon_hydra (store version "
            f"{version}, this one reads {VERSION}); {'update it, or ' if newer else ''}name another file. "
            "It was left as it is."
        )
    return False


def network_mount(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The kind of network file system that `path` lies on; None where it is local, or nobody says (other systems)."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place, kind = "", ""
    real = os.path.realpath(path)
    for line in lines:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4])
        # Of two mounts on one point the later one is on top.
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(place):
            place, kind = point, after.split()[0]
    return kind if NETWORK.fullmatch(kind) else None
