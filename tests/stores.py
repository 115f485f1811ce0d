"""Stores for tests: records to keep, keys for them, other processes that sit at a store, and looking into the file."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import bon_command
import pytest
from app import environment

from bon_hydra.store import CandidateStore, Stored

WHEN = datetime(2026, 11, 23, 14, 5, 33, 123457, tzinfo=UTC)
PROJECT = str(Path(__file__).parent.parent)


def stored(body: bytes = b"{}", seed: int | None = None, run_id: str = "run", at: datetime = WHEN) -> Stored:
    return Stored(body, 0, seed, run_id, at, 0.25, 1, None)


def put(
    store: CandidateStore, keys: Sequence[bytes], new: Stored, identity: str = "http://host/v1", model: str = "model"
) -> list[Stored]:
    return asyncio.run(store.put(keys, new, identity, model))


def get(store: CandidateStore, keys: Sequence[bytes]) -> list[Stored | None]:
    return asyncio.run(store.get(keys))


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def keys(count: int) -> list[bytes]:
    return [key(number) for number in range(count)]


def assert_whole(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a query finds in the file, past the project's own code."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


SITTER = """
import asyncio, sys
from pathlib import Path
from bon_hydra.store import CandidateStore

async def main():
    with CandidateStore(Path(sys.argv[1]), sys.argv[2]) as store:
        keys = [number.to_bytes(16, "big") for number in range(int(sys.argv[3]))]
        assert await store.claim(keys) == [True] * len(keys)
        for usd in sys.argv[4:]:
            assert isinstance(await store.reserve(sys.argv[2], float(usd), 1e9), int)
        print("ready", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


def sitter(path: Path, run_id: str, claims: int = 0, reservations: Sequence[float] = ()) -> subprocess.Popen[str]:
    """A process that sits at the store as a run does, until a line is written to it (or it is killed)."""
    process = python(SITTER, path, run_id, claims, *reservations)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that can import the project."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=PROJECT),
    )


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=100)
    assert process.returncode == 0


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@cache
def mounting() -> list[str]:
    """What starts a program that may mount file systems of its own, for itself alone; empty where nothing does."""
    for command in (["unshare", "-Urm"], ["unshare", "-m"]):
        if shutil.which(command[0]):
            probe = [*command, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
            if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
                return command
    return []


def many(path: Path, count: int, run_id: str = "run", first: int = 0) -> None:
    """A store of so many candidates, whose answers do not compress."""

    async def fill(store: CandidateStore) -> None:
        for start in range(first, first + count, 500):
            numbers = range(start, min(first + count, start + 500))
            news = [stored(f"{run_id} {number} ".encode() + os.urandom(500), run_id=run_id) for number in numbers]
            await asyncio.gather(*(store.put([key(n)], new, "i", "m") for n, new in zip(numbers, news, strict=True)))

    with CandidateStore(path, run_id, "data") as store:
        asyncio.run(fill(store))


def bon(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a `bon store` command."""
    return bon_command.bon(capsys, "store", *arguments)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command ends with which the user can mend."""
    code, out, err = bon(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    return err


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, byte for byte."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def killed_at(path: Path, bytes_: int, *arguments: object) -> None:
    """Starts a `bon store` command and SIGKILLs it as soon as the store's log has so many bytes, or lets it end."""
    log = path.with_name(path.name + "-wal")
    command = [sys.executable, "-m", "bon_hydra.cli", "store", *map(str, arguments)]
    process = subprocess.Popen(command, env=environment(PYTHONPATH=PROJECT), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            if log.stat().st_size >= bytes_:
                break
        except FileNotFoundError:
            pass
    process.kill()
    process.wait()
