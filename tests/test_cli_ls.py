"""`bon ls`: which runs there are, quickly, from their metadata alone, whatever state they are in."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import omegaconf
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bon_command import bon
from sample_runs import METADATA, write_mixed

from bon_hydra import schema
from bon_hydra.running import at_work, is_running

ROOT = Path(__file__).parents[1]
NAMES = (
    *("path", "started_at", "experiment", "model", "num_candidates", "temperature", "splits", "total_records"),
    *("verification_rate", "cost_usd", "status", "notes"),
)
CONFIG = """\
experiment_name: math_focused
num_candidates: 10
temperature: 0.9
splits: [math]
notes: "What: N\\nWhy: money"
model: {name: gpt-4o}
"""


def listed(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """The runs of `bon ls --json`."""
    code, out, err = bon(capsys, "ls", *arguments, "--json")
    assert (code, err) == (0, "")
    runs: list[dict[str, Any]] = json.loads(out)["runs"]
    return runs


def finished(folder: Path, started: str, experiment: str = "quickstart", rate: float | None = 0.5, **more: str) -> Path:
    """A run folder as a run leaves it."""
    totals = json.dumps({"verification_rate": rate, "cost_usd": None if rate is None else 10 * rate})
    metadata = {**METADATA, "experiment": experiment, "started_at": started, "status": "complete", "totals": totals}
    write_mixed(folder / "run.parquet", metadata | more)
    (folder / "resolved.yaml").write_text("num_candidates: 4\n")
    return folder


def unfinished(folder: Path) -> Path:
    """A run folder without a parquet file."""
    folder.mkdir(parents=True)
    (folder / "resolved.yaml").write_text(CONFIG)
    begun = {"status": "running", "run_id": "r", "started_at": "2026-11-23T18:00:00+00:00", "pid": 1}
    (folder / "summary.json").write_text(json.dumps(begun))
    (folder / "run.parquet.part").touch()
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Three runs, a sweep of two, one that was killed, and the link to the newest."""
    day = tmp_path / "outputs" / "2026-11-23"
    finished(day / "14-05-33_quickstart", "2026-11-23T14:05:33+00:00")
    finished(day / "15-00-00_baseline", "2026-11-23T15:00:00+00:00", "baseline", 0.75, model="gpt-4o-mini", notes="")
    finished(day / "16-00-00_x_sweep" / "0_n=2", "2026-11-23T16:00:00+00:00", "x", 0.2, num_candidates="2")
    finished(day / "16-00-00_x_sweep" / "1_n=4", "2026-11-23T16:01:00+00:00", "x", 0.3, temperature="null")
    write_mixed(day / "16-00-00_x_sweep" / "sweep.parquet")
    finished(tmp_path / "outputs" / "2026-11-22" / "09-00-00_y", "2026-11-22T09:00:00+00:00", status="budget_reached")
    unfinished(day / "18-00-00_math_focused")
    (tmp_path / "outputs" / "latest").symlink_to(day / "15-00-00_baseline")
    return tmp_path / "outputs"


def test_every_run_is_listed_once_with_the_contracts_names(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The oldest first; `latest` is no run of its own, and a sweep's table is none."""
    runs = listed(capsys, outputs)
    assert [Path(run["path"]).name for run in runs] == [
        *("09-00-00_y", "14-05-33_quickstart", "15-00-00_baseline", "0_n=2", "1_n=4", "18-00-00_math_focused")
    ]
    assert all(set(run) >= set(NAMES) for run in runs)
    baseline = {name: value for name, value in runs[2].items() if name != "path"}
    assert baseline == {
        "started_at": "2026-11-23T15:00:00+00:00",
        "experiment": "baseline",
        "model": "gpt-4o-mini",
        "num_candidates": 4,
        "temperature": 0.7,
        "splits": ["math"],
        "total_records": 9,
        "verification_rate": 0.75,
        "cost_usd": 7.5,
        "status": "complete",
        "notes": "",
        "sweep": None,
    }
    assert runs[4]["temperature"] is None
    assert runs[4]["sweep"] == str(outputs / "2026-11-23" / "16-00-00_x_sweep")


def test_a_run_without_a_parquet_file_was_killed(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it was to be stands in its configuration."""
    run = listed(capsys, outputs)[-1]
    assert run["status"] == "killed"
    assert (run["experiment"], run["model"], run["num_candidates"]) == ("math_focused", "gpt-4o", 10)
    assert (run["temperature"], run["splits"], run["notes"]) == (0.9, ["math"], "What: N\nWhy: money")
    assert run["started_at"] == "2026-11-23T18:00:00+00:00"
    assert run["verification_rate"] is run["total_records"] is None


@pytest.fixture
def held(outputs: Path) -> Iterator[Path]:
    """The folder of a run that is running: another process holds its lock."""
    folder = outputs / "2026-11-23" / "18-00-00_math_focused"
    hold = (
        "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(f, fcntl.LOCK_EX); "
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield folder
        process.communicate(b"")


def test_a_run_that_holds_its_lock_is_running(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its files say; looking takes no lock from anybody."""
    assert is_running(held)
    assert listed(capsys, held.parent)[-1]["status"] == "running"
    other = held.parent / "14-05-33_quickstart"
    assert not is_running(other)
    with at_work(other):  # looking took nothing that a run needs
        assert is_running(other)
    assert not is_running(held.parent)


def test_a_sweep_is_one_line_until_it_is_unfolded(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the values it swept, the range of its rates, and its costs together."""
    code, out, _ = bon(capsys, "ls", outputs)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:7] == ["when", "experiment", "model", "N", "T", "candidates", "verified"]
    (sweep,) = (line for line in lines if "x_sweep" in line)
    for text in ("2,4", "20.0–30.0 %", "$5.00", "2 complete", "18", str(outputs / "2026-11-23" / "16-00-00_x_sweep")):
        assert text in sweep
    assert len(lines) == 1 + 5
    for option in ("--all", "--unfold"):
        assert len(bon(capsys, "ls", outputs, option)[1].splitlines()) == 1 + 6
    assert len(bon(capsys, "ls", outputs / "2026-11-23" / "16-00-00_x_sweep", "--all")[1].splitlines()) == 1 + 2


def test_the_first_line_of_the_notes_is_shown(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is a matter of `bon inspect`."""
    _, out, _ = bon(capsys, "ls", outputs)
    assert "What: N" in out
    assert "Why: money" not in out


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--experiment", "baseline"], ["15-00-00_baseline"]),
        (["--experiment", "math*"], ["18-00-00_math_focused"]),
        (["--model", "gpt-4o"], ["18-00-00_math_focused"]),
        (["--model", "gpt-4o*"], ["15-00-00_baseline", "18-00-00_math_focused"]),
        (["--status", "budget_reached"], ["09-00-00_y"]),
        (["--status", "killed"], ["18-00-00_math_focused"]),
        (["--since", "2026-11-23T15:30+00:00"], ["0_n=2", "1_n=4", "18-00-00_math_focused"]),
        (["--experiment", "nothing"], []),
    ],
)
def test_runs_are_filtered(
    outputs: Path, capsys: pytest.CaptureFixture[str], options: list[str], found: list[str]
) -> None:
    """By experiment, model, status and time."""
    assert [Path(run["path"]).name for run in listed(capsys, outputs, *options)] == found


def test_since_takes_how_long_ago_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In minutes, hours, days or weeks."""
    for hours in (1, 30, 300):
        finished(tmp_path / f"{hours}", (datetime.now(UTC) - timedelta(hours=hours)).isoformat())
    for since, count in (("90m", 1), ("12h", 1), ("2d", 2), ("2w", 3)):
        assert len(listed(capsys, tmp_path, "--since", since)) == count


def test_runs_are_sorted_by_any_figure(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ascending, so that the largest stands right above the prompt; - turns that round; unknown ones first."""
    rates = [run["verification_rate"] for run in listed(capsys, outputs, "--sort", "verified")]
    assert rates == [None, 0.2, 0.3, 0.5, 0.5, 0.75]
    assert [run["verification_rate"] for run in listed(capsys, outputs, "--sort", "-verified")] == rates[::-1]
    assert listed(capsys, outputs, "--sort", "N")[-1]["num_candidates"] == 10


def test_parquet_files_that_lie_about_are_runs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the seed's results; other people's files are none, and a damaged one is said."""
    old = pa.table({"query_id": ["a"], "split": ["math"], "candidate_idx": [0], "is_verified": [True]})
    metadata = {"model": "gpt-4o-mini", "num_candidates": "4", "temperature": "0.7", "splits": "math,code"}
    seeds = {**metadata, "generated_at": "2024-11-20T10:00:00", "total_records": "1200", "notes": "of old"}
    pq.write_table(old.replace_schema_metadata(seeds), tmp_path / "baseline_20241120.parquet")
    pq.write_table(old, tmp_path / "someone_elses.parquet")
    (run,) = listed(capsys, tmp_path)
    assert run["path"] == str(tmp_path / "baseline_20241120.parquet")
    assert (run["model"], run["splits"], run["total_records"]) == ("gpt-4o-mini", ["math", "code"], 1200)
    assert run["verification_rate"] is run["experiment"] is None
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    code, out, err = bon(capsys, "ls", tmp_path)
    assert code == 0
    assert "2024-11-20 10:00" in out
    assert err.startswith(f"{tmp_path / 'broken.parquet'}: ")
    assert err.count("\n") == 1


def test_a_wrong_call_is_one_line_and_exit_code_2(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there, an unknown column, a time that is none; nothing to list is no mistake."""
    for arguments, said in (
        ([outputs / "nix"], "no such folder"),
        ([outputs, "--sort", "size"], "wanted one of when, experiment"),
        ([outputs, "--since", "yesterday"], "wanted a date such as"),
    ):
        code, out, err = bon(capsys, "ls", *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    code, out, err = bon(capsys, "ls", outputs, "--experiment", "nothing")
    assert (code, out) == (0, "")
    assert "no runs" in err


@pytest.mark.parametrize(
    ("width", "columns"),
    [(80, ("when", "experiment", "status", "verified", "notes")), (50, ("when", "experiment", "verified"))],
)
def test_a_narrow_terminal_gets_a_table_it_can_hold(outputs: Path, width: int, columns: tuple[str, ...]) -> None:
    """Columns that have no room are named below; no line is longer than the terminal, and no word is cut."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLUMNS": str(width),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "bon_hydra.cli", "ls", str(outputs)]
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0
    lines = shown.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[2m", "").splitlines()
    assert max(map(len, lines)) <= width
    assert all(re.match(r"2026-11-\d\d \d\d:\d\d ", line) for line in lines if line.startswith("2026"))
    text = " ".join(" ".join(lines).split())
    assert "No room for:" in text
    assert [column for column in columns if column not in lines[0]] == []


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux's way of saying that the other end is closed
        return b""


def test_what_an_encoding_lacks_is_printed_as_its_code(outputs: Path) -> None:
    """Such as a dash where the output is ASCII."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bon_hydra.cli", "ls", str(outputs)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u2013" in done.stdout


def test_a_pipe_gets_lines_without_anything_behind_them(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that they can be cut, diffed and pasted."""
    lines = bon(capsys, "ls", outputs)[1].splitlines()
    assert all(line == line.rstrip() for line in lines)


def test_listing_imports_nothing_heavy(outputs: Path) -> None:
    """It is what one types first and often."""
    heavy = "pandas datasets openai scipy hydra omegaconf matplotlib pyarrow.compute pyarrow.dataset"
    code = f"""
import sys
from bon_hydra.cli import main
try:
    main(["ls", {str(outputs)!r}])
finally:
    print(sorted(set({heavy.split()!r}) & set(sys.modules)), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0
    assert run.stderr.strip() == "[]"
    assert omegaconf.MISSING == schema.MISSING  # spelt out for that
