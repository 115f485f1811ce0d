"""Opening the store's file: made where there is none, refused and left as it is where it is anything else.

Knows the tables and what can be wrong with a file; does not know what is asked of it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path

from bon_hydra.schema import ConfigError

VERSION = 2
APPLICATION = 0x626F6E68
"""SQLite's mark of whose file it is: `bonh`."""
BUSY_S = 60.0
"""How long a transaction waits for another process's."""

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
    created_us INTEGER NOT NULL, latency_s REAL NOT NULL, attempts INTEGER NOT NULL, request_id TEXT
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
CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, spent_usd REAL NOT NULL);
CREATE TABLE reservations (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL REFERENCES accounts (id), sitting INTEGER NOT NULL,
    usd REAL NOT NULL
);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


def open_file(path: Path) -> sqlite3.Connection:
    """The store's connection, in WAL mode, in transactions of the caller's own; any thread may use it, one at a time.

    Raises:
        ConfigError: the file can't be opened or written, is not a store, is of another version, or lies where several
            hosts could corrupt it.
    """
    if kind := network_mount(path):
        raise ConfigError(
            f"output.store: {path} lies on a network file system ({kind}), where a store cannot be kept safely. "
            "Name a file on a local disk: output.store=/local/store.sqlite"
        )
    connection = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
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
        raise ConfigError(
            f"output.store: {path} is not a candidate store of bon_hydra; name another file. It was left as it is."
        )
    if version != VERSION:
        newer = version > VERSION
        raise ConfigError(
            f"output.store: {path} was written by {'a newer' if newer else 'an older'} bon_hydra (store version "
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
