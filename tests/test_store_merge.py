"""`bon store merge` adds what is missing and nothing else: repeated, killed, while others write, whatever the order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from app import additions, asking, environment, parquets, rows_of, run, sum_of
from fake_api import FakeApi
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import (
    PROJECT,
    ask,
    assert_whole,
    bon,
    end,
    files,
    get,
    key,
    kill,
    killed_at,
    many,
    mounting,
    put,
    python,
    refused,
    sitter,
    stored,
)

from bon_hydra.store import CandidateStore
from bon_hydra.store import file as store_file
from bon_hydra.store.ledger import Payment
from bon_hydra.store.merge import merge


def everything(path: Path) -> dict[str, Any]:
    """What a store holds, without the numbers that its rows have in it."""
    return {
        "candidates": ask(
            path,
            "SELECT key, choice, seed, identity, model, body, run_id, created_us, latency_s, attempts, request_id "
            "FROM candidates JOIN responses ON responses.id = response JOIN servers ON servers.id = server "
            "ORDER BY key",
        ),
        "responses": ask(path, "SELECT count(*) FROM responses"),
        "verdicts": ask(path, "SELECT key, verdict FROM verdicts ORDER BY key"),
        "servers": ask(path, "SELECT identity, model, described FROM servers ORDER BY identity, model"),
        "runs": ask(path, "SELECT run_id, dataset, answered, failed, candidates FROM runs ORDER BY run_id"),
        "accounts": ask(path, "SELECT name, run_id, spent_usd FROM accounts ORDER BY name, run_id"),
    }


# A store: runs that draw answers of up to three choices, pay for them and judge; keys of several stores overlap.
contents = st.lists(
    st.tuples(
        st.sampled_from("abc"),  # the run
        st.sampled_from("mn"),  # the model
        st.lists(st.integers(0, 12), min_size=1, max_size=3, unique=True),  # keys
        st.sampled_from(["own", "sweep"]),  # the account that pays
        st.integers(0, 3),  # dollars
        st.lists(st.integers(0, 6), max_size=2),  # verdicts
    ),
    max_size=8,
)


def make(path: Path, name: str, steps: Any) -> None:
    for number, (run_, model, its_keys, account, usd, verdicts) in enumerate(steps):
        with CandidateStore(path, run_, "data") as store:
            new = stored(f"{name} {number}".encode(), seed=number * 10, run_id=run_)
            payment = Payment(run_ if account == "own" else "sweep", float(usd))
            asyncio.run(store.put([key(one) for one in its_keys], new, "host", model, payment))
            asyncio.run(store.keep_verdicts([(key(one), name.encode()) for one in verdicts]))
            if usd == 3:
                asyncio.run(store.failed(run_))
    CandidateStore(path).close()


@settings(max_examples=40)
@given(contents, contents)
def test_a_merge_adds_what_is_missing_and_repeated_changes_nothing(there: Any, here: Any) -> None:
    """Two stores drawn at random: its own answers stay, the others come as they are, and the figures fit together."""
    with tempfile.TemporaryDirectory() as folder:
        source, into = Path(folder) / "source", Path(folder) / "into"
        make(source, "there", there)
        make(into, "here", here)
        own, others, source_files = everything(into), everything(source), files(source.parent)["source"]
        (merged,) = merge([source], into)
        after = everything(into)
        assert source.read_bytes() == source_files
        assert_whole(into)

        candidates = {row[0]: row for row in others["candidates"]} | {row[0]: row for row in own["candidates"]}
        assert after["candidates"] == [candidates[one] for one in sorted(candidates)]
        assert merged.candidates == len(candidates) - len(own["candidates"])
        assert merged.candidates + merged.present == len(others["candidates"])
        assert after["responses"][0][0] == own["responses"][0][0] + merged.responses
        orphans = ask(into, "SELECT count(*) FROM responses WHERE id NOT IN (SELECT response FROM candidates)")
        assert orphans[0][0] <= own["responses"][0][0]
        assert dict(after["verdicts"]) == dict(others["verdicts"]) | dict(own["verdicts"])

        drawn = [row[6] for row in after["candidates"]]
        for run_id, dataset, answered, failed, its_candidates in after["runs"]:
            figures = [row for row in (*own["runs"], *others["runs"]) if row[0] == run_id]
            assert dataset == "data"
            assert (answered, failed) == (max(row[2] for row in figures), max(row[3] for row in figures))
            if run_id not in {row[0] for row in own["runs"]}:
                assert its_candidates == drawn.count(run_id)
        assert merged.runs == len(after["runs"]) - len(own["runs"])
        spent = {row[:2]: row[2] for row in others["accounts"]}
        for row in own["accounts"]:
            spent[row[:2]] = max(row[2], spent.get(row[:2], 0.0))
        assert {row[:2]: row[2] for row in after["accounts"]} == spent

        (again,) = merge([source], into)
        assert everything(into) == after
        assert (again.candidates, again.responses, again.verdicts, again.runs) == (0, 0, 0, 0)


def test_a_merged_store_serves_a_run_as_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two folders ask half of the candidates each; a third that merges both asks for none, and each row is theirs."""
    with FakeApi(reply=sum_of) as api:
        folders = [tmp_path / name for name in ("a", "b", "c")]
        for folder in folders:
            folder.mkdir()
        data = additions(tmp_path)
        assert run(folders[0], *asking(api.url, data, "num_candidates=2")).returncode == 0
        assert run(folders[1], *asking(api.url, data, "num_candidates=4")).returncode == 0
        asked = api.choices
        stores = [folder / "outputs" / "store.sqlite" for folder in folders]
        code, out, err = bon(capsys, "merge", stores[0], stores[1], "--store", stores[2])
        assert (code, err) == (0, "")
        assert "added 12 candidates of 12 responses" in out.splitlines()[0]
        assert "12 candidates were there already" in out.splitlines()[1]
        assert run(folders[2], *asking(api.url, data, "num_candidates=4")).returncode == 0
        assert api.choices == asked == 12 + 24
    (first,), (second,), (third,) = (parquets(folder) for folder in folders)
    drawn = {row["candidate_id"]: row for row in rows_of(second)} | {row["candidate_id"]: row for row in rows_of(first)}
    for row in rows_of(third):
        assert row["reused"]
        assert row["created_at"] == drawn[row["candidate_id"]]["created_at"]
    assert stat.S_IMODE(stores[2].stat().st_mode) == 0o600


def test_bodies_come_as_they_are(tmp_path: Path) -> None:
    """Compressed by another level or version, they are the same bytes after."""
    source, into = tmp_path / "source", tmp_path / "into"
    many(source, 100)
    list(merge([source], into))
    assert ask(source, "SELECT body FROM responses ORDER BY id") == ask(into, "SELECT body FROM responses ORDER BY id")


def served(path: Path, number: int, described: str | None) -> None:
    with CandidateStore(path) as store:
        put(store, [key(number)], stored(str(number).encode()), "http://host/v1", "model")
        if described is not None:
            asyncio.run(store.describe("http://host/v1", "model", described))


def test_answers_of_two_models_under_one_name_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names model.identity; of that store nothing was added, of the one before it everything."""
    for name, number, described in (("into", 1, "Q4"), ("same", 2, "Q4"), ("other", 3, "Q8")):
        served(tmp_path / name, number, described)
    into = tmp_path / "into"
    code, out, err = bon(capsys, "merge", tmp_path / "same", tmp_path / "other", "--store", into)
    assert code == 2
    assert "same: added 1 candidates" in out
    assert err.startswith("model.identity: ")
    assert err.count("\n") == 1
    assert "Q4" in err
    assert "Q8" in err
    assert [row[0] for row in everything(into)["candidates"]] == [key(1), key(2)]


@pytest.mark.parametrize(
    ("there", "here", "after"), [("Q4", None, "Q4"), (None, "Q4", "Q4"), (None, None, None), ("Q4", "Q4", "Q4")]
)
def test_what_one_of_two_stores_knows_of_a_server_is_known_after(
    tmp_path: Path, there: str | None, here: str | None, after: str | None
) -> None:
    """Silence contradicts nothing."""
    served(tmp_path / "there", 1, there)
    served(tmp_path / "here", 2, here)
    list(merge([tmp_path / "there"], tmp_path / "here"))
    with CandidateStore(tmp_path / "here") as store:
        assert asyncio.run(store.described("http://host/v1", "model")) == after


def test_a_description_without_answers_binds_nobody(tmp_path: Path) -> None:
    """Neither there nor here."""
    served(tmp_path / "there", 1, "Q8")
    with CandidateStore(tmp_path / "here") as store:
        asyncio.run(store.describe("http://host/v1", "model", "Q4"))
    with CandidateStore(tmp_path / "empty") as store:
        asyncio.run(store.describe("http://host/v1", "model", "Q2"))
    list(merge([tmp_path / "empty", tmp_path / "there"], tmp_path / "here"))
    with CandidateStore(tmp_path / "here") as store:
        assert asyncio.run(store.described("http://host/v1", "model")) == "Q8"


def test_an_account_is_the_sum_over_runs_and_of_one_run_the_larger_figure(tmp_path: Path) -> None:
    """A sweep on two machines; a store that was copied and then gone on with; what the dead had reserved."""
    here, there = tmp_path / "here", tmp_path / "there"
    with CandidateStore(here, "job0") as store:
        asyncio.run(store.pay(Payment("sweep", 3.0)))
    shutil.copy(here, there)
    with CandidateStore(here, "job1") as store:
        asyncio.run(store.pay(Payment("sweep", 5.0)))
    with CandidateStore(there, "job2") as store:
        asyncio.run(store.pay(Payment("sweep", 7.0)))
    with CandidateStore(there, "job0") as store:
        asyncio.run(store.pay(Payment("sweep", 0.5)))
    kill(sitter(there, "job3", reservations=[0.25]))
    for _ in range(2):
        list(merge([there], here))
        with CandidateStore(here) as store:
            assert asyncio.run(store.spent("sweep")) == 3.5 + 5.0 + 7.0
            assert asyncio.run(store.spent("job3")) == 0.25
    living = sitter(there, "job4", reservations=[0.125])
    list(merge([there], here))
    with CandidateStore(here) as store:
        assert asyncio.run(store.spent("job4")) == 0.0  # its bill is not known yet; a merge after it will bring it
    end(living)


WRITER = """
import asyncio, os, sys
from datetime import UTC, datetime
from pathlib import Path
from bon_hydra.store import CandidateStore, Stored

async def main():
    with CandidateStore(Path(sys.argv[1]), "writer") as store:
        print("ready", flush=True)
        for number in range(int(sys.argv[2]), int(sys.argv[3])):
            new = Stored(b"writer %d" % number, 0, None, "writer", datetime.now(UTC), 0.5, 1, None)
            await store.put([number.to_bytes(16, "big")], new, "i", "m")
        print("done", flush=True)
        sys.stdin.readline()

asyncio.run(main())
"""


@pytest.mark.parametrize("busy", ["source", "into"])
def test_stores_at_work_can_be_merged(tmp_path: Path, busy: str) -> None:
    """While another process writes to the one or the other, neither loses an answer, and own answers stay."""
    source, into = tmp_path / "source", tmp_path / "into"
    many(source, 5000)
    writer = python(WRITER, tmp_path / busy, 4000, 8000)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    list(merge([source], into))
    assert writer.stdout.readline() == "done\n"
    if busy == "source":
        list(merge([source], into))
    end(writer)
    assert_whole(into)
    with CandidateStore(into) as store:
        found = get(store, [key(number) for number in range(8000)])
    assert all(one.run_id == "run" for one in found[:4000] if one)
    assert None not in found
    assert all(one.run_id == "writer" for one in found[5000:] if one)
    if busy == "source":
        assert all(one.run_id == "run" for one in found[4000:5000] if one)
    (count,) = ask(into, "SELECT count(*) FROM candidates")
    assert count == (8000,)


def test_a_merge_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """SIGKILL wherever it has written so much; nothing is there twice, and every answer that was there stays."""
    source, into, undisturbed = (tmp_path / name for name in ("source", "into", "undisturbed"))
    many(source, 9000)
    with CandidateStore(source, "payer") as store:
        asyncio.run(store.pay(Payment("payer", 1.5)))
        asyncio.run(store.keep_verdicts([(key(number), b"[]") for number in range(3000)]))
    for path in (into, undisturbed):
        with CandidateStore(path) as store:
            put(store, [key(17)], stored(b"own"))
    list(merge([source], undisturbed))
    counts = []
    random_ = random.Random(11)
    for bytes_ in (0, 1, *(random_.randrange(100_000, 4_000_000) for _ in range(5))):
        killed_at(into, bytes_, "merge", source, "--store", into)
        assert_whole(into)
        counts.append(ask(into, "SELECT count(*) FROM candidates")[0][0])
        assert counts == sorted(counts)
    assert min(counts) < 9000
    (merged,) = merge([source], into)
    assert merged.candidates == 9000 - counts[-1]
    assert everything(into) == everything(undisturbed)


def test_a_source_that_is_broken_keeps_any_from_being_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are looked at before the first is added."""
    good, broken, into = tmp_path / "good", tmp_path / "broken", tmp_path / "into"
    many(good, 10)
    many(broken, 500)
    with broken.open("r+b") as file:
        file.seek(broken.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 40960)
    before = broken.read_bytes()
    assert "is damaged (" in refused(capsys, "merge", good, broken, "--store", into)
    assert not into.exists()
    assert broken.read_bytes() == before


def test_a_store_is_not_merged_into_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By whatever name."""
    path, link = tmp_path / "s", tmp_path / "link"
    many(path, 3)
    link.symlink_to(path)
    before = path.read_bytes()
    assert "into itself" in refused(capsys, "merge", link, "--store", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("make_into", "told"),
    [
        (lambda path: path.write_text("mine, and no database " * 100), "can't be used as the candidate store"),
        (lambda path: newer(path), "was written by a newer bon_hydra"),
    ],
    ids=["text", "newer"],
)
def test_what_is_no_store_of_this_version_is_not_merged_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make_into: Any, told: str
) -> None:
    """It is left as it is."""
    source, into = tmp_path / "source", tmp_path / "into"
    many(source, 3)
    make_into(into)
    before = files(tmp_path)
    assert told in refused(capsys, "merge", source, "--store", into)
    assert files(tmp_path) == before


def newer(path: Path) -> None:
    CandidateStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def test_a_store_that_is_held_for_too_long_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line; with the holder gone the same command does it."""
    monkeypatch.setattr(store_file, "BUSY_S", 0.05)
    source, into = tmp_path / "source", tmp_path / "into"
    many(source, 3)
    CandidateStore(into).close()
    holder = sqlite3.connect(into, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert "locked" in refused(capsys, "merge", source, "--store", into)
    holder.close()
    assert bon(capsys, "merge", source, "--store", into)[0] == 0


FULL = """
import resource, signal, subprocess, sys
from pathlib import Path
from bon_hydra.cli import main
source, folder, real = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "real"
room = source.stat().st_size // 2
if real:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", folder], check=True)
else:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

def bon_store(*arguments):
    try:
        main(["store", *map(str, arguments)])
    except SystemExit as end:
        print("exit", end.code)

bon_store("merge", source, "--store", folder / "s")
if real:
    subprocess.run(["mount", "-o", "remount,size=100m", folder], check=True)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
bon_store("merge", source, "--store", folder / "s")
bon_store("--json", "--store", folder / "s")
"""


def test_a_merge_that_fills_the_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """On a small disk of its own where one may be mounted, else with a bound on the size of files."""
    source, folder = tmp_path / "source", tmp_path / "disk"
    folder.mkdir()
    many(source, 9000)
    arguments = [str(source), str(folder), "real" if mounting() else "bound"]
    done = subprocess.run(
        [*mounting(), sys.executable, "-c", FULL, *arguments],
        env=environment(PYTHONPATH=PROJECT),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("then give the same command again. What was merged is kept.\n")
    assert "the disk is full" in done.stderr or not mounting()
    first, merged, second, counts = done.stdout.split("\n", 3)
    assert (first, second) == ("exit 2", "exit 0")
    assert not merged.endswith("; 0 candidates were there already")
    assert json.loads(counts.removesuffix("exit 0\n"))["candidates"] == 9000


PEAK = """
import resource, sys
from pathlib import Path
from bon_hydra.store.merge import merge
for source in sys.argv[2:]:
    list(merge([Path(source)], Path(sys.argv[1])))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_large_store_is_merged_in_little_memory(tmp_path: Path) -> None:
    """A store of 60 MB after one of 20 MB takes no more memory than that did, but for a little."""
    for name, count, first in (("small", 20, 0), ("large", 60, 100)):
        with CandidateStore(tmp_path / name) as store:
            for number in range(count):
                put(store, [key(first + number)], stored(os.urandom(1_000_000)))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *(str(tmp_path / name) for name in ("into", "small", "large"))],
        env=environment(PYTHONPATH=PROJECT),
        capture_output=True,
        text=True,
        check=True,
    )
    small, large = map(int, done.stdout.split())
    assert large - small < 10_000  # KiB
