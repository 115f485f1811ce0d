"""The candidate store: what was put comes back, whatever else happens to the file or to others."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from app import environment
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import PROJECT, WHEN, assert_whole, get, key, put, stored

from bon_hydra.schema import ConfigError
from bon_hydra.store import CandidateStore, Stored

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
records = st.builds(
    Stored,
    body=st.binary(max_size=300),
    choice=st.just(0),
    seed=st.none() | st.integers(0, 2**31 - 1),
    run_id=texts,
    created_at=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    latency_s=st.floats(0, 1e6),
    attempts=st.integers(1, 1000),
    request_id=st.none() | texts,
)


@settings(max_examples=40)
@given(st.lists(records, min_size=1, max_size=8))
def test_what_was_put_is_read_back_as_it_was_also_by_another_process_later(put_: list[Stored]) -> None:
    """Body bytes, times to the microsecond, nulls and texts of any script; after the file was closed and opened."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "store.sqlite"
        with CandidateStore(path) as store:
            for number, new in enumerate(put_):
                assert put(store, [key(number)], new) == [new]
        with CandidateStore(path) as store:
            assert get(store, [key(number) for number in range(len(put_))]) == put_


def test_a_key_that_is_not_there_is_none_in_its_place(tmp_path: Path) -> None:
    """get answers in the order asked, count counts what is there."""
    with CandidateStore(tmp_path / "s") as store:
        put(store, [key(1)], stored(b"one"))
        assert [found and found.body for found in get(store, [key(0), key(1), key(2)])] == [None, b"one", None]
        assert asyncio.run(store.count([key(0), key(1), key(1), key(2)])) == 2
        assert get(store, []) == []


def test_the_first_stored_answer_of_a_key_wins(tmp_path: Path) -> None:
    """A second put changes nothing and is told what is there, its run and all."""
    with CandidateStore(tmp_path / "s") as store, CandidateStore(tmp_path / "s") as other:
        first, second = stored(b"first", run_id="a"), stored(b"second", run_id="b")
        assert put(store, [key(1)], first) == [first]
        assert put(other, [key(1)], second) == [first]
        assert get(store, [key(1)]) == get(other, [key(1)]) == [first]


def test_of_several_choices_each_is_under_its_own_key_with_ascending_seeds(tmp_path: Path) -> None:
    """One body, three keys; a key that was there keeps its answer, the others get theirs."""
    with CandidateStore(tmp_path / "s") as store:
        old = stored(b"old", seed=5)
        put(store, [key(1)], old)
        kept = put(store, [key(0), key(1), key(2)], stored(b"new", seed=100))
        assert [(found.body, found.choice, found.seed) for found in kept] == [
            (b"new", 0, 100),
            (b"old", 0, 5),
            (b"new", 2, 102),
        ]
        assert get(store, [key(0), key(1), key(2)]) == kept


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Mode 0600 for the file and what SQLite keeps beside it, whatever the umask lets through."""
    before = os.umask(0)
    try:
        with CandidateStore(tmp_path / "s") as store:
            put(store, [key(1)], stored())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes["s"] == 0o600
    assert set(modes.values()) == {0o600}


def another_programs(path: Path, application: int = 0, version: int = 1) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE candidates (key BLOB, other TEXT)")
    connection.execute(f"PRAGMA application_id = {application}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


def newer(path: Path) -> None:
    CandidateStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.write_text("{} is no database, and longer than the hundred bytes of a header" * 40), ""),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(2000)), ""),
        (lambda path: another_programs(path), "is not a candidate store"),
        (lambda path: another_programs(path, application=0x12345678), "is not a candidate store"),
        (lambda path: another_programs(path, version=0), "is not a candidate store"),
        (lambda path: newer(path), "newer"),
    ],
    ids=["text", "broken", "database", "marked", "unversioned", "newer"],
)
def test_a_file_that_is_not_a_store_of_this_version_is_refused_and_left_as_it_is(
    tmp_path: Path, make: object, told: str
) -> None:
    """Byte for byte: nothing of it is converted on the way to the refusal."""
    path = tmp_path / "mine.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"^output\.store: ") as refused:
        CandidateStore(path)
    assert str(path) in str(refused.value)
    assert told in str(refused.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["mine.db"]


def test_a_path_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    """A folder, and a path below a file (which stops even root)."""
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "file" / "store.sqlite"):
        with pytest.raises(ConfigError, match=r"^output\.store: "):
            CandidateStore(path)
    assert (tmp_path / "file").read_text() == "mine"


def test_cancelled_callers_break_no_other(tmp_path: Path) -> None:
    """Of a hundred puts at once every second one is cancelled; the others are answered and all is there."""

    async def main(store: CandidateStore) -> None:
        tasks = [asyncio.create_task(store.put([key(i)], stored(str(i).encode()), "i", "m")) for i in range(100)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
        assert [one[0].body for one in done[1::2]] == [str(i).encode() for i in range(1, 100, 2)]  # type: ignore[index]
        assert None not in await store.get([key(i) for i in range(100)])

    with CandidateStore(tmp_path / "s") as store:
        asyncio.run(main(store))


def test_a_caller_whose_loop_has_ended_breaks_no_other(tmp_path: Path) -> None:
    """What it handed over is kept, and the store serves the next loop."""

    async def leave(store: CandidateStore) -> None:
        for number in range(300):
            task = asyncio.ensure_future(store.put([key(number)], stored(), "i", "m"))
            await asyncio.sleep(0)
            task.cancel()

    with CandidateStore(tmp_path / "s") as store:
        asyncio.run(leave(store))
        assert None not in get(store, [key(number) for number in range(300)])


def test_a_fault_of_one_caller_is_told_to_it_alone(tmp_path: Path) -> None:
    """A record that can't be kept fails by itself: what was put beside it at the same moment is kept."""

    async def main(store: CandidateStore) -> None:
        bad = stored(run_id="\ud800")
        news = [stored(b"0"), stored(b"1"), bad, stored(b"3")]
        puts = [store.put([key(i)], new, f"i{i}", "m") for i, new in enumerate(news)]
        done = await asyncio.gather(*puts, store.get([key(0)]), return_exceptions=True)
        assert [isinstance(one, Exception) for one in done] == [False, False, True, False, False]
        there = await store.get([key(i) for i in range(4)])
        assert [found and found.body for found in there] == [b"0", b"1", None, b"3"]

    with CandidateStore(tmp_path / "s") as store:
        asyncio.run(main(store))


def test_close_waits_for_what_was_handed_over(tmp_path: Path) -> None:
    """Also for more than one transaction's worth."""
    with CandidateStore(tmp_path / "s") as store:

        async def main() -> None:
            for i in range(1000):
                task = asyncio.ensure_future(store.put([key(i)], stored(), "i", "m"))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.sleep(0)
            store.close()

        asyncio.run(main())
    with CandidateStore(tmp_path / "s") as store:
        assert asyncio.run(store.count([key(i) for i in range(1000)])) == 1000


WRITER = """
import asyncio, os, sys
from pathlib import Path
from datetime import UTC, datetime
from bon_hydra.store import CandidateStore, Stored
path, name, keys, acknowledged = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), open(sys.argv[4], "ab", buffering=0)

async def one(store, number):
    body = f"{name} {number} ".encode() + os.urandom(800)
    new = Stored(body, 0, None, name, datetime.now(UTC), 0.5, 1, None)
    kept = (await store.put([number.to_bytes(16, "big")], new, "i", "m"))[0]
    acknowledged.write(number.to_bytes(4, "big") + kept.body[:40].ljust(40))

async def main():
    with CandidateStore(path) as store:
        print("open", flush=True)
        for first in range(0, keys, 20):
            await asyncio.gather(*(one(store, first + i) for i in range(20)))

asyncio.run(main())
"""


def writer(path: Path, name: str, keys: int, acknowledged: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(keys), str(acknowledged)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(PYTHONPATH=PROJECT))


def acknowledged_in(path: Path) -> dict[int, bytes]:
    """What a writer was told is kept: number -> the first 40 bytes of the body. A torn last line was not told."""
    data = path.read_bytes() if path.exists() else b""
    lines = [data[i : i + 44] for i in range(0, len(data) - 43, 44)]
    return {int.from_bytes(line[:4], "big"): line[4:] for line in lines}


def test_of_two_processes_that_draw_the_same_both_are_told_the_same_answer(tmp_path: Path) -> None:
    """They create the file together and put the same 2000 keys; each key has one answer for both."""
    path, told = tmp_path / "s", [tmp_path / "a", tmp_path / "b"]
    processes = [writer(path, name.name, 2000, name) for name in told]
    for process in processes:
        process.communicate(timeout=100)
        assert process.returncode == 0
    first, second = (acknowledged_in(name) for name in told)
    assert len(first) == 2000
    assert first == second
    assert_whole(path)


OPENER = """
import sys
from pathlib import Path
from bon_hydra.store import CandidateStore
sys.stdin.read()
for number in range(120):
    CandidateStore(Path(sys.argv[1] + str(number % 60)), "run").close()
"""


def test_many_processes_make_open_and_close_files_at_once(tmp_path: Path) -> None:
    """The switch to WAL mode is the one thing that SQLite does not wait for: nobody is told that a file is locked."""
    project = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", OPENER, str(tmp_path / "s")]
    env = environment(PYTHONPATH=project)
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    for process in processes:
        _, told = process.communicate(timeout=200)
        assert process.returncode == 0, told.decode()
    for path in tmp_path.iterdir():
        assert_whole(path)


def test_what_was_acknowledged_survives_sigkill_of_one_of_two_processes(tmp_path: Path) -> None:
    """Killed at random moments, a few times; the survivor goes on, and integrity_check finds nothing."""
    path, random_ = tmp_path / "s", random.Random(7)
    survivor = writer(path, "survivor", 12000, tmp_path / "survivor")
    told = [tmp_path / "survivor"]
    for number in range(4):
        acknowledged = tmp_path / f"killed{number}"
        told.append(acknowledged)
        process = writer(path, f"killed{number}", 1_000_000, acknowledged)
        assert process.stdout is not None
        process.stdout.readline()
        enough = 44 * random_.randrange(0, 400)
        while (acknowledged.stat().st_size if acknowledged.exists() else 0) < enough:
            assert process.poll() is None
        process.kill()
        process.communicate()
    survivor.communicate(timeout=100)
    assert survivor.returncode == 0
    assert_whole(path)
    with CandidateStore(path) as store:
        for name in told:
            kept = acknowledged_in(name)
            found = get(store, [key(number) for number in kept])
            assert [(one.body[:40].ljust(40) if one else None) for one in found] == list(kept.values())
    assert len(acknowledged_in(told[0])) == 12000


def test_times_are_read_back_in_utc_to_the_microsecond(tmp_path: Path) -> None:
    """Also where they were given in another zone."""
    there = WHEN.astimezone(timezone(timedelta(hours=5, minutes=45)))
    with CandidateStore(tmp_path / "s") as store:
        put(store, [key(1)], replace(stored(), created_at=there))
        (found,) = get(store, [key(1)])
    assert found is not None
    assert (found.created_at, found.created_at.tzinfo) == (WHEN, UTC)
