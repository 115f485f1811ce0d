"""What a run says while it works: on terminals of any width, on none, and with whatever stands in paths and texts."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest
from app import additions, asking, environment, jsonl, metadata_of, parquets, rows_of, run, sum_of
from fake_api import FakeApi
from rich.cells import cell_len
from warm import command_line

from bon_hydra.report import progress
from bon_hydra.report.progress import RunProgress
from bon_hydra.report.terminal import Terminal

PATH = "/home/somebody/experiments/outputs/2026-11-30/14-05-33_a_name_that_is_longer_than_a_line"
STATE = ["paused 3 s by the server", "1,200 reused", "2 failed attempts"]


def at_width(monkeypatch: pytest.MonkeyPatch, columns: int, term: str = "xterm") -> None:
    """As if standard error were a terminal of so many columns."""
    for name, value in {"COLUMNS": str(columns), "TERM": term, "TTY_COMPATIBLE": "1", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_progress_says_everything_at_any_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every part whole, no line too long; the bar only where there is room."""
    at_width(monkeypatch, columns)
    shown = RunProgress(4000)
    shown.show(1000, 900, 450, 1.5, 0.001, STATE)
    with shown.console.capture() as captured:
        shown.console.print(shown._shown())
    lines = captured.get().splitlines()
    assert max(map(cell_len, lines)) <= columns
    for part in ("1,000/4,000 candidates", "/s", " left", "verified 50%", "$1.50 of about $4.50", *STATE):
        assert any(part in line for line in lines), part
    assert any("━" in line for line in lines) == (columns >= 60)


@pytest.mark.parametrize("term", ["dumb", "no terminal"])
def test_where_no_line_can_be_drawn_anew_one_is_printed_now_and_then(
    term: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a log, a pipe and an editor's terminal alike, without any escape sequence."""
    if term == "dumb":
        at_width(monkeypatch, 80, "dumb")
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    with RunProgress(None) as shown:
        shown.show(3, 2, 1, None, None, [])
    told = capsys.readouterr().err
    assert told.startswith("3 candidates · ")
    assert told.rstrip().endswith("verified 50% · cost unknown")
    assert "\x1b" not in told


def test_lines_are_broken_between_words_and_paths_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal; in a pipe a line stays a line."""
    line = f"results of everything that was asked for go to {PATH}"
    Terminal(stderr=True).say(line)
    assert capsys.readouterr().err == line + "\n"
    at_width(monkeypatch, 40)
    Terminal(stderr=True).say(line)
    assert capsys.readouterr().err == f"results of everything that was asked for\n  go to\n  {PATH}\n"


def test_the_first_lines_say_what_is_asked_what_it_costs_what_is_reused_and_where_it_goes(tmp_path: Path) -> None:
    """And the last ones what to type next."""
    with FakeApi(reply=sum_of) as api:
        asked = asking(api.url, additions(tmp_path, 3), "model.prices.input=1", "model.prices.output=2")
        first = run(tmp_path, *asked, "num_candidates=2")
        again = run(tmp_path, *asked, "num_candidates=4")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    folder = parquets(tmp_path)[0].parent
    said = first.stderr.splitlines()
    assert said[0].startswith("custom: 3 queries of train, N=2, so 6 calls; asking fake-model at http://")
    assert [line.split()[0] for line in said[1:4]] == ["tokens", "cost", "reused"]
    assert "reused      nothing: the store has no answer of this model on this data set" in said
    assert f"results go to {folder}" in said
    shown = folder.relative_to(tmp_path)
    assert said[-2:] == [f"Next: bon inspect {shown}", f"      bon show {shown}"]
    assert "reused      6 of 12 candidates are in the store" in again.stderr


def test_windows_line_ends_other_languages_and_spaces_in_paths_are_fine(tmp_path: Path) -> None:
    """In YAML of one's own, in prompts, notes and data."""
    home = tmp_path / "мои данные 数据"
    (home / "my conf" / "experiment").mkdir(parents=True)
    data = jsonl(home / "frågor och svar.jsonl", [{"question": "Wieviel ist 3+2? 三加二?", "answer": "#### 5"}])
    yaml = (
        "# @package _global_\r\nexperiment_name: größe\r\nnotes: |\r\n  What: números\r\n  Why: 温度\r\n"
        'prompt:\r\n  template: "Réponds: {{ question }}"\r\n'
    )
    (home / "my conf" / "experiment" / "mine.yaml").write_bytes(yaml.encode())
    with FakeApi(reply="C'est \\boxed{5}. 五") as api:
        asked = [*asking(api.url, data), "-cd", "my conf", "experiment=mine", "num_candidates=1"]
        asked = [f"dataset.data_files='{data}'" if part.startswith("dataset.data_files=") else part for part in asked]
        done = run(home, *asked)
        assert done.returncode == 0, done.stderr
        shown = run(home, "show", "outputs/latest", module="bon_hydra.cli")
        assert api.requests[0].question == "Réponds: Wieviel ist 3+2? 三加二?"
    assert "五" in shown.stdout
    (row,) = rows_of(parquets(home)[0])
    assert (row["is_verified"], row["response"]) == (True, "C'est \\boxed{5}. 五")
    assert metadata_of(parquets(home)[0])["notes"] == "What: números\nWhy: 温度\n"


def test_a_run_on_a_narrow_terminal_is_readable(tmp_path: Path) -> None:
    """A real one of 40 columns: no colour where none is wanted, no word cut, every column of the table there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 40))
    wanted = environment(TERM="xterm-256color", NO_COLOR="1")
    del wanted["COLUMNS"]
    with FakeApi(reply=sum_of) as api:
        command = command_line("bon_hydra", [*asking(api.url, additions(tmp_path, 2)), "num_candidates=1"])
        with subprocess.Popen(command, cwd=tmp_path, env=wanted, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            said = b""
            while chunk := _read(ours):
                said += chunk
    os.close(ours)
    assert process.returncode == 0, said.decode()
    text = said.decode()
    assert "\x1b[3" not in text
    assert "custom: 2 queries of train, N=1, so 2\x1b[0m\r\n\x1b[2m  calls; asking fake-model at" in text
    assert "2/2 candidates · " in text
    assert all(column in text for column in ("verified", "first", "any", "pass@1"))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux's way of saying that the other end is closed
        return b""


def test_what_costs_nothing_is_told_without_a_range(tmp_path: Path) -> None:
    """A server of one's own, say."""
    with FakeApi(reply=sum_of) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 2), "model.prices={input: 0, output: 0}"))
    assert "cost        0 USD\n" in done.stderr
    assert "of about" not in done.stderr
