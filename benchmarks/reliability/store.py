"""A reader of one store and two writers under SIGKILLs: is everything there that they were told is kept?

    python benchmarks/reliability/store.py [--minutes 10] [--short] [--seed 0]

The writers claim keys (half of them the other's too), reserve, put, pay, release and keep verdicts; the reader reads
keys and, now and then, all that `bon store` shows. One of the three at a time is killed at a random moment and
started again. Each writes down what a call of the store's has told it, after the call returned; at the end the file
is held against that. Exits with 1 where anything is missing, double or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bon_hydra.store import CandidateStore, Stored
from bon_hydra.store.contents import contents
from bon_hydra.store.ledger import Payment

RECORD = struct.Struct("<c16s16sdi")
"""What was told: its kind, a key, a digest, USD, and the number of an account."""
CANDIDATE, VERDICT, TWICE, LOOKED = b"c", b"v", b"2", b"l"
ASKING, RESERVED, SETTLING, SETTLED = b"a", b"r", b"p", b"s"
"""Before and after a reservation, before and after its bill: a kill may come between any two."""
CONCURRENCY = 8
"""Requests of a writer at once."""
LATENCY_S = (0.005, 0.03)
CAP_USD, CAP_S = 32.0, 20
"""Every so many seconds there is a new account with such a budget, which does not last until the next."""
UNCAPPED = -1


def account_name(number: int) -> str:
    return "uncapped" if number == UNCAPPED else f"capped-{number}"


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:16]


class Told:
    """The file in which a process writes down what it was told; what a kill cuts short was not told."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: bytes, key: bytes = b"", its_digest: bytes = b"", usd: float = 0.0, account: int = 0) -> None:
        os.write(self._file, RECORD.pack(kind, key, its_digest, usd, account))


def read_told(path: Path) -> Iterator[tuple[bytes, bytes, bytes, float, int]]:
    data = path.read_bytes()
    yield from RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size])


async def write_for_ever(store: CandidateStore, name: str, started: float, told: Told, rng: random.Random) -> None:
    async def one() -> None:
        while True:
            # Keys near a front that moves on: both writers want them at the same time.
            shared = int(100 * (time.time() - started)) + rng.randrange(200)
            key = shared.to_bytes(16, "big") if rng.random() < 0.5 else rng.randbytes(16)
            (claimed,) = await store.claim([key])
            if isinstance(claimed, Stored):
                told.write(CANDIDATE, key, digest(claimed.body))
            elif claimed:
                await draw(key)

    async def draw(key: bytes) -> None:
        account = int(time.time() - started) // CAP_S
        worst = rng.randrange(1, 64) / 1024  # binary fractions, so that sums are exact
        number = None
        told.write(ASKING, usd=worst, account=account)
        reserved = await store.reserve(account_name(account), worst, CAP_USD)
        if isinstance(reserved, int):
            number = reserved
            told.write(RESERVED, usd=worst, account=account)
        else:
            settled(worst, 0.0, account)
            account = UNCAPPED
            told.write(ASKING, usd=worst, account=account)
        await asyncio.sleep(rng.uniform(*LATENCY_S))
        bill = rng.randrange(0, int(worst * 1024) + 1) / 1024
        payment = Payment(account_name(account), bill, number)
        if number is not None:
            told.write(SETTLING, usd=worst, account=account)
        if rng.random() < 0.1:  # no answer
            await store.pay(payment)
            await store.release([key])
        else:
            body = f"{name} {key.hex()} ".encode() + rng.randbytes(rng.randrange(20, 800)).hex().encode()
            new = Stored(body, 0, None, name, datetime.now(UTC), 0.1, 1, None)
            (kept,) = await store.put([key], new, "host", "model", payment)
            told.write(CANDIDATE if kept.body == body else TWICE, key, digest(kept.body))
        settled(worst, bill, account)
        if rng.random() < 0.5:
            verdict = key[::-1]
            await store.keep_verdicts([(key, verdict)])
            told.write(VERDICT, key, digest(verdict))

    def settled(worst: float, bill: float, account: int) -> None:
        told.write(SETTLED, its_digest=struct.pack("<d", worst), usd=bill, account=account)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(one())


async def read_for_ever(store: CandidateStore, path: Path, started: float, told: Told, rng: random.Random) -> None:
    looks = True
    while True:
        if looks:
            contents(path, 10)
            told.write(LOOKED)
        front = int(100 * (time.time() - started))
        keys = [rng.randrange(max(1, front)).to_bytes(16, "big") for _ in range(20)]
        for key, found in zip(keys, await store.get(keys), strict=True):
            if found is not None:
                told.write(CANDIDATE, key, digest(found.body))
        await asyncio.sleep(0.01)
        looks = rng.random() < 0.01


def play(role: str, name: str, path: Path, started: float, told: Told, seed: str) -> None:
    """A process of the three, until it is killed."""
    rng = random.Random(seed)
    if role == "reader":
        with CandidateStore(path) as store:
            asyncio.run(read_for_ever(store, path, started, told, rng))
    else:
        with CandidateStore(path, name, "data") as store:
            asyncio.run(write_for_ever(store, name, started, told, rng))


class Player:
    """One of the three, started again after each kill; its name and what it is told go on."""

    def __init__(self, role: str, folder: Path, number: int, started: float, seed: int) -> None:
        self.role, self.lives = role, 0
        self.told = folder / f"told-{role}-{number}"
        self._arguments = [role, f"{role}-{number}", str(folder / "store.sqlite"), str(started), str(self.told)]
        self._seed = f"{seed}-{number}"
        self.start()

    def start(self) -> None:
        self.lives += 1
        self._size = self._told_bytes()
        command = [sys.executable, __file__, "--play", *self._arguments, f"{self._seed}-{self.lives}"]
        self.process = subprocess.Popen(command)

    def has_begun(self) -> bool:
        """Whether it was told anything in this life."""
        return self._told_bytes() > self._size

    def kill(self) -> None:
        if self.process.poll() is not None:
            raise SystemExit(f"{self.role} ended by itself, with {self.process.returncode}")
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _told_bytes(self) -> int:
        return self.told.stat().st_size if self.told.exists() else 0


def soak(folder: Path, seconds: float, pause_s: float, seed: int) -> tuple[list[Player], int, int]:
    """Runs the three and kills them; how many kills there were, and how many of writers."""
    rng, started = random.Random(seed), time.time()
    players = [
        Player(role, folder, number, started, seed) for number, role in enumerate(("writer", "writer", "reader"))
    ]
    kills = of_writers = 0
    try:
        while time.time() < started + seconds:
            time.sleep(min(rng.expovariate(1 / pause_s), 5 * pause_s))
            victim = rng.choice(players)
            while rng.random() < 0.8 and not victim.has_begun():  # most often in mid-work, at times while it starts
                time.sleep(0.005)
            victim.kill()
            victim.start()
            kills += 1
            of_writers += victim.role == "writer"
    finally:
        for player in players:
            player.process.kill()
            player.process.wait()
    return players, kills + 3, of_writers + 2


def wrong(path: Path, players: list[Player], figures: dict[str, object]) -> list[str]:
    """What is not as it was told; fills in the figures."""
    found: list[str] = []
    told: Counter[bytes] = Counter()
    billed = 0.0
    candidates: dict[bytes, bytes] = {}
    verdicts: dict[bytes, bytes] = {}
    least: dict[int, float] = defaultdict(float)
    """What an account has spent: bills that were told, and reservations that were open at a kill."""
    most: dict[int, float] = defaultdict(float)
    """With what else may have been reserved or billed, untold, at a kill."""
    for player in players:
        for kind, key, its_digest, usd, account in read_told(player.told):
            told[kind] += 1
            if kind in (CANDIDATE, TWICE) and candidates.setdefault(key, its_digest) != its_digest:
                found.append(f"key {key.hex()} was told with two answers")
            elif kind == VERDICT:
                verdicts[key] = its_digest
            elif kind == RESERVED:
                least[account] += usd
            elif kind == SETTLING:
                least[account] -= usd
            elif kind == ASKING:
                most[account] += usd
            elif kind == SETTLED:
                least[account] += usd
                most[account] += usd - struct.unpack("<d", its_digest[:8])[0]
                billed += usd

    with CandidateStore(path, "the last") as store:  # its sitting settles what the dead have left
        keys = list(candidates)
        for at in range(0, len(keys), 1000):
            some = keys[at : at + 1000]
            for key, there in zip(some, asyncio.run(store.get(some)), strict=True):
                if there is None or digest(there.body) != candidates[key]:
                    found.append(f"candidate {key.hex()} is {'missing' if there is None else 'another'}")
        for key, verdict in zip(verdicts, asyncio.run(store.verdicts(list(verdicts))), strict=True):
            if verdict is None or digest(verdict) != verdicts[key]:
                found.append(f"verdict {key.hex()} is {'missing' if verdict is None else 'another'}")
        total = 0.0
        for account in most:
            spent = asyncio.run(store.spent(account_name(account)))
            total += spent
            if not least[account] <= spent <= most[account]:
                found.append(f"{account_name(account)}: {spent} USD, not {least[account]} to {most[account]}")
            if account != UNCAPPED and spent > CAP_USD:
                found.append(f"{account_name(account)}: {spent} USD spent of {CAP_USD}")
    if told[TWICE]:
        found.append(f"{told[TWICE]} keys were drawn by two at once")

    connection = sqlite3.connect(path)
    (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
    if integrity != "ok":
        found.append(f"integrity_check: {integrity}")
    for what, sql in {
        "candidates without a response": "SELECT count(*) FROM candidates WHERE response NOT IN "
        "(SELECT id FROM responses)",
        "responses without a candidate": "SELECT count(*) FROM responses WHERE id NOT IN "
        "(SELECT response FROM candidates)",
        "claims of the dead": "SELECT count(*) FROM claims",
        "reservations of the dead": "SELECT count(*) FROM reservations",
        "runs that are miscounted": "SELECT count(*) FROM runs WHERE candidates != (SELECT count(*) FROM candidates "
        "JOIN responses ON responses.id = response WHERE responses.run_id = runs.run_id)",
    }.items():
        if count := connection.execute(sql).fetchone()[0]:
            found.append(f"{count} {what}")
    left = [file.name for file in path.parent.glob(f"{path.name}-sitting-*")]
    if left:
        found.append(f"locks of the dead: {left}")
    figures |= {
        "candidates in the store": connection.execute("SELECT count(*) FROM candidates").fetchone()[0],
        "told and looked up again: candidates": len(candidates),
        "told and looked up again: verdicts": len(verdicts),
        "missing or other than told": len([one for one in found if one.startswith(("candidate ", "verdict "))]),
        "keys drawn by two at once": told[TWICE],
        "`bon store` read in full, meanwhile": told[LOOKED],
        "`PRAGMA integrity_check`": integrity,
        "accounts with a budget, overspent": f"{len(most) - (UNCAPPED in most)}, "
        f"{len([one for one in found if one.endswith(f'spent of {CAP_USD}')])}",
        "USD told as billed, in the ledger": f"{billed:,.2f}, {total:,.2f}",
        "USD at least and at most, with what kills stranded": f"{sum(least.values()):,.2f}, {sum(most.values()):,.2f}",
        "bytes on disk": path.stat().st_size,
    }
    connection.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--short", action="store_true", help="20 seconds, with kills closer to each other")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--play", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        role, name, path, started, told, seed = arguments.play
        play(role, name, Path(path), float(started), Told(Path(told)), seed)
        return
    seconds, pause_s = (15.0, 0.3) if arguments.short else (60 * arguments.minutes, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        players, kills, of_writers = soak(Path(folder), seconds, pause_s, arguments.seed)
        figures: dict[str, object] = {"seconds": round(seconds), "SIGKILLs, of writers": f"{kills}, {of_writers}"}
        found = wrong(Path(folder) / "store.sqlite", players, figures)
    print("| what | |\n|---|---|")
    for name, figure in figures.items():
        print(f"| {name} | {figure:,} |" if isinstance(figure, int) else f"| {name} | {figure} |")
    for one in found[:20]:
        print(f"WRONG: {one}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
