"""`bon store info` tells what a store holds without touching it; of what `prune` is told to remove all goes or none."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from app import additions, asking, environment, parquets, rows_of, run, sum_of
from fake_api import FakeApi
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import (
    PROJECT,
    WHEN,
    ask,
    assert_whole,
    bon,
    files,
    get,
    key,
    kill,
    killed_at,
    many,
    mounting,
    put,
    refused,
    sitter,
    stored,
)

from bon_hydra.schema import ConfigError
from bon_hydra.store import CandidateStore, Stored
from bon_hydra.store import file as store_file
from bon_hydra.store.ledger import Payment
from bon_hydra.store.prune import Filters, moment_before, prune

DAY = timedelta(days=1)


def document(capsys: pytest.CaptureFixture[str], path: Path, *more: object) -> dict[str, Any]:
    """What `bon store --json` says."""
    code, out, err = bon(capsys, "--store", path, "--json", *more)
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def example(path: Path) -> None:
    """Two runs, two models: six candidates of five responses; verdicts; an account with two dollars spent."""
    with CandidateStore(path, "20261101-a", "math") as store:
        put(store, [key(0), key(1)], stored(b"two", run_id="20261101-a", at=WHEN - 20 * DAY), "host", "small")
        put(store, [key(2)], stored(b"one", run_id="20261101-a", at=WHEN - 19 * DAY), "host", "small")
        asyncio.run(store.pay(Payment("20261101-a", 2.0)))
        asyncio.run(store.keep_verdicts([(key(number), b"[]") for number in range(4)]))
    with CandidateStore(path, "20261120-b", "code") as store:
        for number in (3, 4, 5):
            put(store, [key(number)], stored(b"b", run_id="20261120-b", at=WHEN), "host", "large")
        asyncio.run(store.failed("20261120-b"))


def test_info_counts_what_is_there_by_model_run_and_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures worked out by hand."""
    path = tmp_path / "s"
    example(path)
    found = document(capsys, path)
    assert {name: found[name] for name in ("path", "bytes", "version", "candidates", "responses", "verdicts")} == {
        "path": str(path),
        "bytes": path.stat().st_size,
        "version": store_file.VERSION,
        "candidates": 6,
        "responses": 5,
        "verdicts": 4,
    }
    large, small = found["answers"]
    size = ask(path, "SELECT sum(length(body)) FROM responses WHERE run_id = '20261101-a'")[0][0]
    assert small == {
        "identity": "host",
        "model": "small",
        "candidates": 3,
        "responses": 2,
        "bytes": size,
        "runs": 1,
        "first": (WHEN - 20 * DAY).isoformat(),
        "last": (WHEN - 19 * DAY).isoformat(),
    }
    assert (large["model"], large["candidates"], large["responses"]) == ("large", 3, 3)
    assert found["newest_runs"] == [
        {"run_id": "20261120-b", "dataset": "code", "answered": 3, "failed": 1, "candidates": 3}
        | {"last": WHEN.isoformat()},
        {"run_id": "20261101-a", "dataset": "math", "answered": 2, "failed": 0, "candidates": 3}
        | {"last": (WHEN - 19 * DAY).isoformat()},
    ]
    account = {"name": "20261101-a", "runs": 1, "spent_usd": 2.0, "reserved_usd": 0.0}
    assert found["newest_accounts"] == [account]
    assert found["at_work"] == []
    one = document(capsys, path, "--limit", 1)
    assert (one["runs"], [run["run_id"] for run in one["newest_runs"]]) == (2, ["20261120-b"])


def test_info_for_people_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`bon store` alone is `bon store info`; its default is the store of the folder one is in."""
    path = tmp_path / "outputs" / "store.sqlite"
    example(path)
    done = subprocess.run(
        [sys.executable, "-m", "bon_hydra.cli", "store"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=PROJECT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 candidates of 5 responses, 4 verdicts" in done.stdout
    assert "20261120-b" in done.stdout
    assert "Nobody is at work" in done.stdout
    code, out, _ = bon(capsys, "info", "--store", path)
    assert code == 0
    assert out.splitlines()[1:] == done.stdout.splitlines()[1:]


def test_info_of_what_is_not_there_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file and no folder; also for the other commands."""
    path = tmp_path / "outputs" / "s"
    for arguments in ([], ["prune", "--model", "m"], ["prune", "--model", "m", "--yes"], ["merge", path]):
        told = refused(capsys, *arguments, "--store", tmp_path / "into" if "merge" in arguments else path)
        assert told == f"{path}: there is no store here\n"
    assert list(tmp_path.iterdir()) == []


def test_info_leaves_every_byte_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a store at rest, and of one whose writer was killed: what that left beside the file counts, and stays."""
    path = tmp_path / "s"
    example(path)
    before = files(tmp_path)
    document(capsys, path)
    assert files(tmp_path) == before
    killed_at(path, 1, "prune", "--store", path, "--model", "small", "--yes")
    left = document(capsys, path)["candidates"]  # the prune may have been quicker than the kill
    writer = sitter(path, "20261122-c")
    put_by_killed(path)
    kill(writer)
    before = files(tmp_path)
    assert before["s-wal"]
    found = document(capsys, path)
    assert (found["candidates"], found["at_work"]) == (left + 1, [])
    assert found["bytes"] == len(before["s"]) + len(before["s-wal"])
    after = files(tmp_path)
    assert (after["s"], after["s-wal"]) == (before["s"], before["s-wal"])


def put_by_killed(path: Path) -> None:
    """One candidate by a process that dies before it can close the file."""
    program = (
        "import asyncio, os, sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from bon_hydra.store import CandidateStore, Stored\n"
        "store = CandidateStore(Path(sys.argv[1]))\n"
        "new = Stored(b'left', 0, None, 'killed', datetime.now(UTC), 0.5, 1, None)\n"
        "asyncio.run(store.put([os.urandom(16)], new, 'host', 'large'))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], env=environment(PYTHONPATH=PROJECT), check=False)
    assert done.returncode == -9


def test_info_tells_who_is_at_work_and_what_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A process at work in this moment; once it is killed, what it had reserved is spent."""
    path = tmp_path / "s"
    at_work = sitter(path, "run-at-work", reservations=[0.5, 0.75])
    found = document(capsys, path)
    assert [(one["run_id"], one["pid"]) for one in found["at_work"]] == [("run-at-work", at_work.pid)]
    assert [(one["spent_usd"], one["reserved_usd"]) for one in found["newest_accounts"]] == [(0.0, 1.25)]
    kill(at_work)
    found = document(capsys, path)
    assert found["at_work"] == []
    assert [(one["spent_usd"], one["reserved_usd"]) for one in found["newest_accounts"]] == [(1.25, 0.0)]


READ_ONLY = """
import subprocess, sys
from bon_hydra.cli import main
folder, store = sys.argv[1:]
if folder != "none":
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
main(["store", "--json", "--store", store])
"""


def test_info_reads_a_store_where_nothing_can_be_written(tmp_path: Path) -> None:
    """On a read-only mount where one may be made, else in a folder that may not be written."""
    folder = tmp_path / "folder"
    example(folder / "s")
    before = files(folder)
    folder.chmod(0o500)
    (folder / "s").chmod(0o400)
    program = [sys.executable, "-c", READ_ONLY, str(folder) if mounting() else "none", str(folder / "s")]
    done = subprocess.run(
        [*mounting(), *program], env=environment(PYTHONPATH=PROJECT), capture_output=True, text=True, check=False
    )
    folder.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["candidates"] == 6
    assert files(folder) == before


def with_version(version: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        example(path)
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()

    return make


def another_programs(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE responses (id)")
    connection.close()


def damaged(path: Path) -> None:
    many(path, 500)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 40960)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.write_text("no database at all, " * 200), "can't be used as the candidate store"),
        (lambda path: path.touch(), "is an empty file"),
        (lambda path: path.mkdir(), "this is no file"),
        (another_programs, "is not a candidate store of bon_hydra"),
        (with_version(99), "was written by a newer bon_hydra"),
        (with_version(1), "was written by an older bon_hydra"),
        (damaged, "is damaged ("),
    ],
    ids=["text", "empty", "folder", "database", "newer", "older", "damaged"],
)
@pytest.mark.parametrize("command", ["info", "prune", "merge"])
def test_what_is_no_whole_store_of_this_version_is_refused_in_one_line_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], told: str, command: str
) -> None:
    """Byte for byte, whatever was to be done; a merge makes no store for it."""
    path, into = tmp_path / "s", tmp_path / "into"
    make(path)
    before = None if path.is_dir() else files(tmp_path)
    arguments = {
        "info": ["info", "--store", path],
        "prune": ["prune", "--older-than", "0d", "--yes", "--store", path],
        "merge": ["merge", path, "--store", into],
    }[command]
    line = refused(capsys, *arguments)
    assert told in line
    assert str(path) in line
    assert before is None or files(tmp_path) == before


def test_a_store_on_a_network_file_system_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For reading too: the locks that keep a reader right don't work there."""
    path = tmp_path / "s"
    example(path)
    monkeypatch.setattr(store_file, "network_mount", lambda _: "nfs4")
    for arguments in (["--store", path], ["prune", "--verdicts", "--store", path], ["merge", path]):
        assert "network file system (nfs4)" in refused(capsys, *arguments)


def test_prune_wants_to_be_told_what_is_to_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No filter, or one that can't be read."""
    path = tmp_path / "s"
    example(path)
    assert "--older-than" in refused(capsys, "prune", "--store", path, "--yes")
    for text in ("yesterday", "d", "90", "9999999999d", "2026-13-01"):
        told = refused(capsys, "prune", "--store", path, "--older-than", text)
        assert told.startswith(f"--older-than: got {text!r}, wanted")


def test_a_date_is_of_utc_and_days_are_counted_back_from_now() -> None:
    """With a time and a zone where one is given."""
    assert moment_before("2026-08-01") == datetime(2026, 8, 1, tzinfo=UTC)
    assert moment_before("2026-08-01T12:00+02:00") == datetime(2026, 8, 1, 10, tzinfo=UTC)
    assert DAY * 89 < datetime.now(UTC) - moment_before("90d") < DAY * 91


def test_prune_shows_what_would_go_and_does_it_only_when_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it had cost in tokens, and that it would be paid again; with --yes it is gone and the rest is there."""
    path = tmp_path / "s"
    body = {"choices": [{"message": {"content": "4"}}] * 2, "usage": {"prompt_tokens": 1200, "completion_tokens": 34}}
    with CandidateStore(path) as store:
        put(store, [key(0), key(1)], stored(json.dumps(body).encode()), "host", "small")
        put(store, [key(2)], stored(json.dumps(body).encode()), "host", "large")
    before = files(tmp_path)
    code, out, err = bon(capsys, "prune", "--store", path, "--model", "small")
    assert code == 0
    assert f"To go from {path}: 2 candidates" in out
    assert "They took 1,200 prompt + 34 completion tokens." in out
    assert "asks and pays for it again" in out
    assert "--yes" in err
    assert files(tmp_path) == before
    code, out, err = bon(capsys, "prune", "--store", path, "--model", "small", "--yes")
    assert (code, err) == (0, "")
    assert f"Removed from {path}: 2 candidates" in out
    with CandidateStore(path) as store:
        assert [found is None for found in get(store, [key(0), key(1), key(2)])] == [True, True, False]
    code, out, err = bon(capsys, "prune", "--store", path, "--model", "small")
    assert (code, err) == (0, "")
    assert "nothing that fits" in out


kept_records = st.lists(
    st.tuples(
        st.sampled_from("xy"), st.sampled_from("mn"), st.sampled_from("ab"), st.integers(0, 4), st.integers(1, 3)
    ),
    max_size=12,
)
maybe = {name: st.none() | st.sampled_from(values) for name, values in {"i": "xyz", "m": "mno", "r": "abc"}.items()}


@settings(max_examples=40)
@given(kept_records, maybe["i"], maybe["m"], maybe["r"], st.none() | st.integers(0, 5), st.booleans())
def test_what_all_given_filters_hold_for_goes_and_nothing_else(
    records: list[tuple[str, str, str, int, int]],
    identity: str | None,
    model: str | None,
    run_id: str | None,
    age: int | None,
    verdicts: bool,
) -> None:
    """Answers of up to three choices, drawn at random, against a filter worked out by hand; verdicts all or none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        staying: dict[bytes, Stored] = {}
        with CandidateStore(path, "a"), CandidateStore(path, "b") as store:
            asyncio.run(store.keep_verdicts([(key(1), b"[]")]))
            for number, (its_identity, its_model, its_run, days, choices) in enumerate(records):
                its_keys = [key(10 * number + choice) for choice in range(choices)]
                at = WHEN - days * DAY
                kept = put(store, its_keys, stored(b"body", run_id=its_run, at=at), its_identity, its_model)
                wanted = (identity or its_identity, model or its_model, run_id or its_run)
                goes = wanted == (its_identity, its_model, its_run) and (age is None or at < WHEN - age * DAY)
                if not goes or {identity, model, run_id, age} == {None}:
                    staying |= dict(zip(its_keys, kept, strict=True))
            every = [key(number) for number in range(10 * len(records))]
        before = None if age is None else WHEN - age * DAY
        going, _, _ = prune(path, Filters(before, model, identity, run_id, verdicts))
        with CandidateStore(path) as store:
            left = {name: found for name, found in zip(every, get(store, every), strict=True) if found}
            assert asyncio.run(store.verdicts([key(1)])) == [None if verdicts else b"[]"]
        assert left == staying
        assert going.candidates == sum(record[4] for record in records) - len(staying)
        assert ask(path, "SELECT count(*) FROM responses WHERE id NOT IN (SELECT response FROM candidates)") == [(0,)]
        assert ask(path, "SELECT coalesce(sum(candidates), 0) FROM runs") == [(len(staying),)]
        assert_whole(path)


def test_pruning_gives_the_space_back_and_what_was_spent_stays_spent(tmp_path: Path) -> None:
    """Two thirds of the answers go, and with them their share of the file; runs and accounts stand as they stood."""
    path = tmp_path / "s"
    many(path, 2000, "going")
    many(path, 1000, "staying", first=2000)
    with CandidateStore(path, "going") as store:
        asyncio.run(store.pay(Payment("going", 7.5)))
    going, before, after = prune(path, Filters(run_id="going"))
    assert (going.candidates, after) == (2000, path.stat().st_size)
    assert after < 0.4 * before
    with CandidateStore(path) as store:
        assert asyncio.run(store.spent("going")) == 7.5
        done = asyncio.run(store.done("going"))
        assert (done.answered, done.candidates) == (2000, 0)
        assert None not in get(store, [key(number) for number in range(2000, 3000)])
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


def test_a_run_that_goes_on_after_its_newest_answers_were_pruned_is_found_in_histories(tmp_path: Path) -> None:
    """Numbers of removed responses are given again."""
    path = tmp_path / "s"
    many(path, 100, "older")
    many(path, 10, "newer", first=100)
    prune(path, Filters(model="m"))
    many(path, 3, "newer", first=100)
    with CandidateStore(path) as store:
        assert len(asyncio.run(store.history("i", "m", "data", 100))) == 3


def test_a_store_with_a_run_at_work_is_not_pruned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the process; once that is dead, however it died, nothing stands in the way."""
    path = tmp_path / "s"
    example(path)
    at_work = sitter(path, "run-at-work")
    command = ["prune", "--store", path, "--model", "small", "--yes"]
    told = refused(capsys, *command)
    assert f"run run-at-work, process {at_work.pid} on " in told
    assert document(capsys, path)["candidates"] == 6
    kill(at_work)
    assert bon(capsys, *command)[0] == 0
    assert document(capsys, path)["candidates"] == 3


def test_a_prune_that_is_killed_has_removed_everything_or_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL at several points of its writing; the same command then does the rest, the space included."""
    path = tmp_path / "s"
    many(path, 6000, "going")
    many(path, 2000, "staying", first=6000)
    whole = path.stat().st_size
    counts = set()
    for bytes_ in (0, 1, 200_000, 400_000, 800_000, 1_600_000):
        killed_at(path, bytes_, "prune", "--store", path, "--run", "going", "--yes")
        with CandidateStore(path) as store:
            there = asyncio.run(store.count([key(number) for number in range(6000)]))
            assert there in (0, 6000)
            assert asyncio.run(store.count([key(number) for number in range(6000, 8000)])) == 2000
        assert_whole(path)
        counts.add(there)
    assert 6000 in counts
    assert bon(capsys, "prune", "--store", path, "--run", "going", "--yes")[0] == 0
    assert document(capsys, path)["candidates"] == 2000
    assert path.stat().st_size < 0.4 * whole


FULL = """
import resource, signal, subprocess, sys
from pathlib import Path
from bon_hydra.cli import main
source, folder, room, real = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "real"
if real:
    size = f"size={source.stat().st_size + room}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
store = folder / "s"
store.write_bytes(source.read_bytes())
if not real:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    main(["store", "prune", "--run", "going", "--yes", "--store", str(store)])
except SystemExit as end:
    print("exit", end.code)
main(["store", "--json", "--store", str(store)])
"""


@pytest.mark.parametrize(("room", "left"), [(8_000, 3000), (40_000, 3000), (600_000, 2000)])
def test_a_prune_on_a_full_disk_loses_nothing(tmp_path: Path, room: int, left: int) -> None:
    """Without room for its log nothing goes; with that but none for a copy it goes, and its space stays in the file.

    On a small disk of its own where one may be mounted, else with a bound on the size of files.
    """
    path, folder = tmp_path / "s", tmp_path / "disk"
    folder.mkdir()
    many(path, 1000, "going")
    many(path, 2000, "staying", first=1000)
    arguments = [str(path), str(folder), str(room), "real" if mounting() else "bound"]
    done = subprocess.run(
        [*mounting(), sys.executable, "-c", FULL, *arguments],
        env=environment(PYTHONPATH=PROJECT),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("exit 2\n")
    assert done.stderr.count("\n") == 1
    assert ("Nothing was removed" in done.stderr or "was left as it is" in done.stderr) == (left == 3000)
    assert ("its space could not be given back" in done.stderr) == (left == 2000)
    assert "the disk is full" in done.stderr or left == 2000 or not mounting()
    assert json.loads(done.stdout.removeprefix("exit 2\n"))["candidates"] == left


def test_what_was_pruned_is_asked_again_and_the_rest_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs of the program, of which one's answers go."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path))
        assert run(tmp_path, *arguments, "num_candidates=2").returncode == 0
        assert run(tmp_path, *arguments, "num_candidates=3").returncode == 0
        assert api.choices == 18
        first, _ = parquets(tmp_path)
        path, run_id = tmp_path / "outputs" / "store.sqlite", rows_of(first)[0]["run_id"]
        assert bon(capsys, "prune", "--store", path, "--run", run_id, "--yes")[0] == 0
        assert run(tmp_path, *arguments, "num_candidates=3").returncode == 0
        assert api.choices == 18 + 12
    assert [row["reused"] for row in rows_of(parquets(tmp_path)[-1])] == [False, False, True] * 6


def test_moment_before_is_a_mistake_of_the_user_in_one_line() -> None:
    """Not a traceback."""
    with pytest.raises(ConfigError):
        moment_before("soon")


def open_files(pid: int) -> list[str]:
    """What a process has open; a file it closes meanwhile is not among them."""
    found = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(file.readlink()))
    return found


def test_ctrl_c_ends_a_command_at_once_and_loses_nothing(tmp_path: Path) -> None:
    """The signal meets it while it waits for a store that another process holds."""
    path = tmp_path / "s"
    example(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    command = [sys.executable, "-m", "bon_hydra.cli", "store", "prune", "--model", "small", "--yes", "--store"]
    process = subprocess.Popen(
        [*command, str(path)], env=environment(PYTHONPATH=PROJECT), stderr=subprocess.PIPE, text=True
    )
    while str(path.resolve()) not in open_files(process.pid):
        assert process.poll() is None
    process.send_signal(2)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -2
    assert err == ""
    holder.close()
    assert ask(path, "SELECT count(*) FROM candidates") == [(6,)]
