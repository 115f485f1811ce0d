"""Going on with a run, in its own folder: whatever ended it, nothing is asked twice, and the file ends up the same."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from app import additions, asking, environment, jsonl, metadata_of, parquets, rows_of, run, start, sum_of
from bon_command import apart as bon
from fake_api import FakeApi, Request

UNLIKE = {"latency_s", "created_at", "request_id", "run_id", "attempts", "candidate_id", "cached_tokens"}
"""Columns in which two equal runs differ: times, ids, attempts; and what this server says was in its cache."""


def alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in UNLIKE} for row in rows]


def seeded(request: Request, _: int = 0) -> str:
    """An answer that follows from the seed sent, right in one of three."""
    right = int(request.question.split("What is ")[1].split("+")[0]) + 2
    return f"\\boxed{{{right + request.body['seed'] % 3}}}"


def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one_would(tmp_path: Path) -> None:
    """SIGKILL at random moments: nothing missing or double, at most what was in flight is asked again, equal files."""
    whole, killed, random_ = tmp_path / "whole", tmp_path / "killed", random.Random(5)
    whole.mkdir()
    killed.mkdir()
    data, concurrency = additions(tmp_path, 60), 6
    more = ["seed=1", f"concurrency={concurrency}", "num_candidates=3"]
    with FakeApi(reply=seeded) as api:
        assert run(whole, *asking(api.url, data, *more)).returncode == 0
        port = int(api.url.split(":")[2].split("/")[0])
    with FakeApi(reply=seeded, latency=0.03, port=port) as api:
        process = start(killed, *asking(api.url, data, *more))
        for _ in range(3):
            enough = api.choices + random_.randrange(5, 40)
            while api.choices < enough:
                assert process.poll() is None, process.communicate()
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            (folder,) = {path.parent for path in (killed / "outputs").glob("*/*/resolved.yaml")}
            process = start(killed, "resume", str(folder), module="bon_hydra.cli")
        told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        answered = api.choices
    (one,), (other,) = parquets(whole), parquets(killed)
    assert alike(rows_of(other)) == alike(rows_of(one))
    assert not any(row["reused"] for row in rows_of(other))
    assert answered <= 180 + 3 * concurrency
    assert metadata_of(other)["status"] == "complete"
    assert json.loads(metadata_of(other)["totals"])["requests"] >= 180
    assert not [path.name for path in (killed / "outputs").iterdir() if "sitting" in path.name]
    assert "attempt 1 failed" not in (other.parent / "run.log").read_text()


def test_a_budget_is_one_for_all_sittings_and_a_raised_one_goes_on(tmp_path: Path) -> None:
    """budget_reached with exit 3 and the command that goes on; in the end every row, each asked for once."""
    with FakeApi(reply=sum_of, latency=0.01) as api:
        more = ["max_tokens=20", "model.prices={input: 2.0, output: 10.0}", "budget_usd=0.02", "concurrency=10"]
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 100), *more))
        assert done.returncode == 3, done.stderr
        (parquet,) = parquets(tmp_path)
        folder = parquet.parent
        assert "bon resume" in done.stderr
        first = len(rows_of(parquet))
        same = bon(tmp_path, "resume", str(folder))
        assert (same.returncode, len(rows_of(parquet))) == (3, first), same.stderr
        less = bon(tmp_path, "resume", str(folder), "budget_usd=0.001")
        assert (less.returncode, "has spent" in less.stderr) == (2, True)
        raised = bon(tmp_path, "resume", str(folder), "budget_usd=0.03")
        assert raised.returncode == 3, raised.stderr
        assert first < len(rows_of(parquet)) == api.choices
        assert sum(row["cost_usd"] for row in rows_of(parquet)) <= 0.03
        assert "budget_usd: 0.03" in (folder / "resolved.yaml").read_text()
        lifted = bon(tmp_path, "resume", str(folder), "budget_usd=null")
        assert lifted.returncode == 0, lifted.stderr
    assert parquets(tmp_path) == [parquet]
    assert len(rows_of(parquet)) == api.choices == 400
    assert metadata_of(parquet)["config_yaml"] == (folder / "resolved.yaml").read_text()
    totals = json.loads(metadata_of(parquet)["totals"])
    assert totals["requests"] == 400
    assert totals["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in rows_of(parquet)))


def test_a_later_sitting_that_is_interrupted_keeps_what_an_earlier_one_had(tmp_path: Path) -> None:
    """The file never has fewer rows than before: what was bought is written, though nothing new is asked."""
    with FakeApi(reply=sum_of, latency=0.05) as api:
        process = start(tmp_path, *asking(api.url, additions(tmp_path, 100), "concurrency=8"))
        sizes = []
        for _ in range(2):
            enough = api.choices + 60
            while api.choices < enough:
                assert process.poll() is None, process.communicate()
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=60)
            assert process.returncode == 130, told
            (parquet,) = parquets(tmp_path)
            sizes.append(len(rows_of(parquet)))
            assert sizes[-1] == api.choices
            process = start(tmp_path, "resume", str(parquet), module="bon_hydra.cli")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert len(rows_of(parquet)) >= sizes[-1] > sizes[0]


def test_a_run_at_work_is_not_gone_on_with(tmp_path: Path) -> None:
    """Exit 2, and the run itself is undisturbed."""
    with FakeApi(reply=sum_of, latency=0.4) as api:
        process = start(tmp_path, *asking(api.url, additions(tmp_path, 8), "concurrency=4"))
        while api.choices < 4:
            assert process.poll() is None, process.communicate()
        refused = bon(tmp_path, "resume", "outputs/latest")
        assert (refused.returncode, "is running" in refused.stderr) == (2, True), refused.stderr
        told = process.communicate(timeout=60)
        assert process.returncode == 0, told


def test_what_is_complete_is_left_alone(tmp_path: Path) -> None:
    """Exit 0, not a byte changed, no request."""
    with FakeApi(reply=sum_of) as api:
        assert run(tmp_path, *asking(api.url, additions(tmp_path, 2))).returncode == 0
        (parquet,) = parquets(tmp_path)
        before, asked = parquet.read_bytes(), len(api.requests)
        done = bon(tmp_path, "resume", "outputs/latest")
        assert (done.returncode, "complete already" in done.stderr) == (0, True)
        assert (parquet.read_bytes(), len(api.requests)) == (before, asked)


@pytest.mark.parametrize("file", ["{experiment}.parquet", "mine/chosen.parquet"])
def test_a_run_killed_after_its_private_store_went_is_complete(tmp_path: Path, file: str) -> None:
    """What was bought is all in its file; only the summary is missing, and is written."""
    with FakeApi(reply=sum_of, latency=0.05) as api:
        arguments = asking(api.url, additions(tmp_path, 4), "output.store=null", f"output.file='{file}'")
        process = start(tmp_path, *arguments)
        while api.choices < 4:
            assert process.poll() is None, process.communicate()
        (summary,) = (tmp_path / "outputs").glob("*/*/summary.json")
        running = summary.read_text()
        told = process.communicate(timeout=60)
        assert process.returncode == 0, told
        whole = json.loads(summary.read_text())
        summary.write_text(running)
        for link in summary.parent.glob("*.parquet"):
            if link.is_symlink():
                link.unlink()
        done = bon(tmp_path, "resume", str(summary.parent))
        assert (done.returncode, "complete already" in done.stderr) == (0, True), done.stderr
        assert json.loads(summary.read_text()) == whole
        assert len(api.requests) == 16


def stopped(tmp_path: Path, api: FakeApi, *more: str) -> Path:
    """The folder of a run that its server stopped."""
    done = run(tmp_path, *asking(api.url, additions(tmp_path, 4), "concurrency=1", *more))
    assert done.returncode == 1, done.stderr
    return parquets(tmp_path)[0].parent


def unauthorized_after(count: int) -> Any:
    return lambda request: "unauthorized" if request.order >= count else None


def test_a_changed_data_file_is_refused_and_named(tmp_path: Path) -> None:
    """The queries would not be the same; the old file back, it goes on."""
    with FakeApi(reply=sum_of, faults=unauthorized_after(3)) as api:
        folder = stopped(tmp_path, api)
        data = tmp_path / "additions.jsonl"
        old = data.read_text()
        jsonl(data, [{"question": "What is 7+2?", "answer": "#### 9"}])
        refused = bon(tmp_path, "resume", str(folder))
        assert (refused.returncode, "changed" in refused.stderr, "bon rerun" in refused.stderr) == (2, True, True)
        data.write_text(old)
        api._faults = ()
        done = bon(tmp_path, "resume", str(folder))
        assert done.returncode == 0, done.stderr
        assert api.choices == 16


def test_other_keys_and_wrong_budgets_are_refused(tmp_path: Path) -> None:
    """Each in one line that says what is possible; nothing is asked."""
    with FakeApi(reply=sum_of, faults=unauthorized_after(3)) as api:
        folder, asked = stopped(tmp_path, api), len(api.requests)
        for given, told in (
            ("num_candidates=8", "bon rerun"),
            ("budget_usd", "budget_usd=…"),
            ("budget_usd=much", "got much"),
            ("budget_usd=-1", "got -1"),
            ("budget_usd=[1]", "wanted USD"),
        ):
            refused = bon(tmp_path, "resume", str(folder), given)
            assert (refused.returncode, told in refused.stderr, "Traceback" in refused.stderr) == (2, True, False)
        assert len(api.requests) == asked


def test_a_run_whose_store_is_gone_is_not_paid_again_in_silence(tmp_path: Path) -> None:
    """It has bought answers that only the store could give back."""
    with FakeApi(reply=sum_of, faults=unauthorized_after(3)) as api:
        folder, asked = stopped(tmp_path, api), len(api.requests)
        (tmp_path / "outputs" / "store.sqlite").unlink()
        refused = bon(tmp_path, "resume", str(folder))
        assert (refused.returncode, "output.store" in refused.stderr) == (2, True), refused.stderr
        assert len(api.requests) == asked


@pytest.mark.parametrize(
    ("spec", "told"),
    [("outputs/none", "no run folder"), ("outputs", "no run folder"), ("outputs/store.sqlite", "no run folder")],
)
def test_what_is_no_run_cannot_be_gone_on_with(tmp_path: Path, spec: str, told: str) -> None:
    """One line, exit 2."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "store.sqlite").touch()
    refused = bon(tmp_path, "resume", spec)
    assert (refused.returncode, told in refused.stderr, refused.stderr.count("\n")) == (2, True, 1)


def test_a_folder_that_does_not_say_which_run_it_is_cannot_be_gone_on_with(tmp_path: Path) -> None:
    """A summary.json that is torn, or of somebody else."""
    with FakeApi(reply=sum_of, faults=unauthorized_after(3)) as api:
        folder = stopped(tmp_path, api)
        for text in ("", "{", "[]", '{"status": "running"}'):
            (folder / "summary.json").write_text(text)
            refused = bon(tmp_path, "resume", str(folder))
            assert (refused.returncode, "summary.json" in refused.stderr) == (2, True), refused.stderr


def test_another_model_behind_the_same_address_stops_the_run(tmp_path: Path) -> None:
    """What /v1/models says of id, root and meta is held against the store; times may change; a new identity goes on."""
    data = additions(tmp_path, 2)
    entry = {"id": "fake-model", "created": 1, "meta": {"n_params": 135}}
    with FakeApi(reply=sum_of, models=[entry]) as api:
        assert run(tmp_path, *asking(api.url, data)).returncode == 0
        port = int(api.url.split(":")[2].split("/")[0])
    with FakeApi(reply=sum_of, models=[entry | {"created": 2}], port=port) as api:
        assert run(tmp_path, *asking(api.url, data)).returncode == 0
        assert api.choices == 0
    with FakeApi(reply=sum_of, models=[entry | {"meta": {"n_params": 360}}], port=port) as api:
        folders = len(parquets(tmp_path))
        refused = run(tmp_path, *asking(api.url, data))
        assert (refused.returncode, "model.identity" in refused.stderr) == (2, True), refused.stderr
        assert (len(parquets(tmp_path)), len(api.requests)) == (folders, 0)
        assert run(tmp_path, *asking(api.url, data, "model.identity=larger")).returncode == 0
        assert api.choices == 8


def test_reused_candidates_are_told_with_the_time_they_were_drawn(tmp_path: Path) -> None:
    """On the terminal and in the totals."""
    with FakeApi(reply=sum_of) as api:
        assert run(tmp_path, *asking(api.url, additions(tmp_path, 2), "num_candidates=2")).returncode == 0
        again = run(tmp_path, *asking(api.url, additions(tmp_path, 2), "num_candidates=3"))
    assert "4 of 6 candidates were in the store, drawn by other runs 20" in again.stderr
    totals = json.loads(metadata_of(parquets(tmp_path)[1])["totals"])
    assert (totals["reused"], totals["bought"]) == (4, 2)
    assert totals["reused_from"] <= totals["reused_to"]


def test_a_kept_verdict_is_not_judged_again_but_by_another_verifier(tmp_path: Path) -> None:
    """What the store has of it stands in the next file; an answer that another verifier judges is judged."""
    with FakeApi(reply=seeded) as api:
        arguments = asking(api.url, additions(tmp_path, 6), "seed=1")
        assert run(tmp_path, *arguments).returncode == 0
        with closing(sqlite3.connect(tmp_path / "outputs" / "store.sqlite")) as store, store:
            assert store.execute("SELECT count(*) FROM verdicts").fetchone()[0] >= 18
            store.execute("""UPDATE verdicts SET verdict = CAST('["pass","kept","9",null,null]' AS BLOB)
                             WHERE CAST(verdict AS TEXT) LIKE '["%'""")
        assert run(tmp_path, *arguments).returncode == 0
        assert run(tmp_path, *arguments, "dataset.verifier=exact").returncode == 0
    first, second, third = (rows_of(path) for path in parquets(tmp_path))
    assert {row["verdict"] for row in first} == {"pass", "fail"}
    assert {(row["verdict"], row["verdict_reason"], row["answer"]) for row in second} == {("pass", "kept", "9")}
    assert {row["verifier"] for row in second} == {row["verifier"] for row in first}
    assert "kept" not in {row["verdict_reason"] for row in third}


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Exit 130 while a request hangs; the folder can be gone on with."""
    with FakeApi(reply=sum_of, faults=lambda request: "hanging" if request.order >= 3 else None) as api:
        process = start(tmp_path, *asking(api.url, additions(tmp_path, 4), "concurrency=2"))
        while len(api.requests) < 5:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        while "stopping" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=8) == 130
        process.communicate()
        api._faults = ()
        (folder,) = {path.parent for path in (tmp_path / "outputs").glob("*/*/resolved.yaml")}
        done = bon(tmp_path, "resume", str(folder))
        assert done.returncode == 0, done.stderr
        assert api.choices == 16


def test_a_disk_that_is_full_loses_nothing_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """On a real file system of a few hundred kB: exit 1, one message, no traceback; with room again all is there."""
    script = """
import os, subprocess, sys
from pathlib import Path
disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", disk], check=True)
(disk / "outputs").mkdir()
filler = disk / "filler"
filler.write_bytes(bytes(200_000))
command = [sys.executable, "-m", "bon_hydra", *sys.argv[2:]]
full = subprocess.run(command, cwd=disk, capture_output=True, text=True)
print(full.returncode, "Traceback" in full.stderr, "full" in full.stderr or "No space" in full.stderr, flush=True)
print(full.stderr, file=sys.stderr)
filler.unlink()
subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
(folder,) = {path.parent for path in (disk / "outputs").glob("*/*/resolved.yaml")}
resumed = subprocess.run([sys.executable, "-m", "bon_hydra.cli", "resume", folder], capture_output=True, text=True)
print(resumed.returncode, flush=True)
print(resumed.stderr, file=sys.stderr)
(parquet,) = folder.glob("*.parquet")
import pyarrow.parquet as pq
print(pq.read_metadata(parquet).num_rows)
"""
    disk = tmp_path / "disk"
    disk.mkdir()
    long = "".join(random.Random(1).choices("abcdefghij", k=9000))
    with FakeApi(reply=lambda request, _: f"{long[request.order % 4000 :]} \\boxed{{1}}") as api:
        arguments = asking(api.url, additions(tmp_path, 60), "concurrency=4", "num_candidates=2")
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", sys.executable, "-c", script, str(disk), *arguments],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert done.stdout.split("\n")[:3] == ["1 False True", "0", "120"], done.stdout + done.stderr
        assert api.choices <= 120 + 8
