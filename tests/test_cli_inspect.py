"""`bon inspect` and `bon show`: the figures are right, a pipe gets plain text, a mistake one line and exit code 2."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bon_command import bon
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from sample_runs import METADATA, judged, write, write_mixed

from bon_hydra import __version__, runs
from bon_hydra.records import SCORED, VERDICTS
from bon_hydra.report.summary import summarise
from bon_hydra.report.tables import console, final_table
from bon_hydra.statistics import majority_at_k

ROOT = Path(__file__).parents[1]
NOTES = "What: does the first win?\nWhy: it is cheaper."


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three queries in two splits."""
    return write_mixed(
        tmp_path / "run" / "run.parquet", {**METADATA, "notes": NOTES, "config_yaml": "num_candidates: 4\n"}
    )


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    """The runs of `bon inspect --json`."""
    code, out, err = bon(capsys, "inspect", *arguments, "--json")
    assert (code, err) == (0, "")
    runs: list[dict[str, Any]] = json.loads(out)["runs"]
    return runs


def test_inspect_counts_and_rates_what_the_file_holds(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures worked out by hand: 3 of 8 scored candidates verified, one without an answer left out."""
    (found,) = inspected(capsys, run)
    assert found["path"] == str(run)
    assert found["metadata"]["notes"] == NOTES
    assert found["metadata"]["config_yaml"] == "num_candidates: 4\n"
    overall = found["overall"]
    assert {key: overall[key] for key in ("queries", "candidates", "scored", "verified", "truncated")} == {
        "queries": 3,
        "candidates": 9,
        "scored": 8,
        "verified": 3,
        "truncated": 0,
    }
    assert overall["verification_rate"] == pytest.approx(3 / 8)
    assert overall["first_candidate_rate"] == pytest.approx(1 / 3)
    assert overall["any_candidate_rate"] == pytest.approx(2 / 3)
    assert overall["verdicts"] == {"pass": 3, "fail": 3, "timeout": 1, "no_answer": 1, "api_error": 1}
    assert overall["candidate_idx"]["0"] == {"scored": 3, "verified": 1, "rate": pytest.approx(1 / 3)}
    assert overall["candidate_idx"]["3"] == {"scored": 1, "verified": 0, "rate": 0}
    assert (overall["prompt_tokens"], overall["completion_tokens"]) == (400, 160)
    assert overall["cost_usd"] == pytest.approx(0.008)
    assert set(found["splits"]) == {"math", "tools"}
    math = found["splits"]["math"]
    assert math["pass_at_k"]["1"]["estimate"] == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert math["pass_at_k"]["2"]["estimate"] == pytest.approx((5 / 6 + 2 / 3) / 2)
    assert [math["pass_at_k"][k]["queries"] for k in "1234"] == [2, 2, 2, 1]
    assert found["splits"]["tools"]["pass_at_k"]["2"] == {"estimate": None, "ci95": None, "queries": 0}
    for rate, (low, high) in overall["ci95"].items():
        assert 0 <= low < overall[rate] < high <= 1


def test_cut_off_answers_and_unknown_prices_are_told_apart_from_zero(tmp_path: Path) -> None:
    """`truncated` counts the finish reason; a price that nobody knows is null."""
    cut = judged("one", ["no_answer", "pass"], response={"finish_reason": "length", "prompt_tokens": None})
    cut = replace(cut, candidates=tuple(replace(candidate, cost_usd=None) for candidate in cut.candidates))
    overall = summarise(write(tmp_path / "run.parquet", [cut]))["overall"]
    assert overall["truncated"] == 2
    assert overall["cost_usd"] is None
    assert overall["prompt_tokens"] is None
    assert overall["completion_tokens"] == 40


verdicts_of_queries = st.lists(st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=5), min_size=1, max_size=8)


@settings(max_examples=40)
@given(verdicts_of_queries, st.integers(1, 7))
def test_rates_are_what_pandas_says(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[list[str]], batch: int
) -> None:
    """The seed's means over scored rows, however the file is cut into batches."""
    path = tmp_path_factory.mktemp("run") / "run.parquet"
    write(path, [judged(str(n), verdicts, split="ab"[n % 2]) for n, verdicts in enumerate(drawn)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BATCH_ROWS", batch)
        found = summarise(path)
    df = pd.read_parquet(path)
    for name, section in {**found["splits"], "overall": found["overall"]}.items():
        part = df if name == "overall" else df[df.split == name]
        scored = part[part.is_scored]
        assert section["queries"] == part.query_id.nunique()
        assert section["verified"] == scored.is_verified.sum()
        if scored.empty:
            assert section["verification_rate"] is None
            assert section["any_candidate_rate"] is None
            continue
        assert section["verification_rate"] == pytest.approx(scored.is_verified.mean())
        assert section["any_candidate_rate"] == pytest.approx(scored.groupby("query_id").is_verified.max().mean())
        first = scored[scored.candidate_idx == 0].is_verified
        assert section["first_candidate_rate"] == (None if first.empty else pytest.approx(first.mean()))
        assert section["pass_at_k"]["1"]["estimate"] == pytest.approx(
            scored.groupby("query_id").is_verified.mean().mean()
        )
        assert sum(count for verdict, count in section["verdicts"].items() if verdict in SCORED) == len(scored)


answers = st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from([None, 0, 1, 2])), min_size=1, max_size=5)


@settings(max_examples=40)
@given(st.lists(answers, min_size=1, max_size=6), st.integers(1, 7))
def test_majorities_are_counted_over_scored_candidates(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[list[tuple[str, int | None]]], batch: int
) -> None:
    """Equal classes vote together, however the file is cut into batches; with one candidate it is the answer itself."""
    path = tmp_path_factory.mktemp("run") / "run.parquet"
    queries = [
        judged(str(n), [verdict for verdict, _ in one], classes=[answer for _, answer in one])
        for n, one in enumerate(drawn)
    ]
    write(path, queries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BATCH_ROWS", batch)
        overall = summarise(path)["overall"]
    found, reached = overall["majority_at_k"], overall["reach"]
    curves = []
    for one in drawn:
        votes: dict[int, list[bool]] = {}
        scored = [(verdict == "pass", answer) for verdict, answer in one if verdict in SCORED]
        for right, answer in scored:
            if answer is not None:
                votes.setdefault(answer, []).append(right)
        sizes, verified = ([count(rights) for rights in votes.values()] for count in (len, sum))
        abstaining = sum(answer is None for _, answer in scored)
        curves.append(majority_at_k(np.array(sizes, int), np.array(verified, int), abstaining))
    if all(answer is None for one in drawn for verdict, answer in one if verdict in SCORED):
        curves = []
    for k in range(1, max(map(len, drawn)) + 1):
        values = [curve[k - 1] for curve in curves if len(curve) >= max(k, reached)]
        assert found[str(k)]["queries"] == len(values)
        known = values and k <= reached
        assert found[str(k)]["estimate"] == (pytest.approx(sum(values) / len(values)) if known else None)


def seed_file(path: Path, rows: Sequence[tuple[str, str, int, bool]]) -> Path:
    """A file as the seed's system wrote it."""
    columns = ("query_id", "split", "candidate_idx", "is_verified")
    table = pa.table(
        {name: [row[at] for row in rows] for at, name in enumerate(columns)} | {"model": ["m"] * len(rows)}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"model": "m", "num_candidates": "2", "temperature": "0.7", "notes": "of old"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_files_of_the_seeds_system_are_inspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its columns alone are enough, also where a query's rows do not stand together."""
    rows = [("a", "math", 0, True), ("b", "math", 0, False), ("a", "math", 1, False), ("b", "math", 1, True)]
    path = seed_file(tmp_path / "seed.parquet", rows)
    overall = inspected(capsys, path)[0]["overall"]
    assert (overall["queries"], overall["scored"], overall["verified"]) == (2, 4, 2)
    assert overall["any_candidate_rate"] == 1.0
    assert overall["verdicts"] == {"pass": 2, "fail": 2}
    assert overall["cost_usd"] is None
    code, out, _ = bon(capsys, "inspect", path)
    assert code == 0
    assert "of old" in out
    code, out, _ = bon(capsys, "show", path, "--verdict", "fail")
    assert code == 0
    assert out.count("candidate") == 2


def test_one_run_is_shown_whole(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metadata with notes, rates by split, verdicts, candidate index, coverage, pass@k, tokens and cost."""
    code, out, err = bon(capsys, "inspect", run.parent)
    assert (code, err) == (0, "")
    for title in (
        "Verification rates",
        "Verdicts",
        "Does the first win?",
        "Query coverage",
        "pass@k",
        "How many candidates for a pass rate?",
        "Tokens, latency and cost",
    ):
        assert title in out
    assert NOTES in out
    lines = [line.split() for line in out.splitlines()]
    assert ["overall", "3", "9", "8", "37.5", "%"] in [line[:6] for line in lines]
    coverage = lines[next(i for i, line in enumerate(lines) if line[:2] == ["Query", "coverage"]) + 2]
    assert " ".join(coverage) == "math 2 0 (0.0 %) 2 (100.0 %) 0 (0.0 %) 2 (100.0 %) 0"


def test_a_pipe_gets_plain_aligned_text(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No rules, no colour, and no line is wrapped or cut, however long."""
    long = "a-model-with-a-name-" * 20
    write_mixed(run, {**METADATA, "model": long})
    _, out, _ = bon(capsys, "inspect", run)
    assert long in out
    assert not set(out) & set("─│┃━╭╮╰╯┏┓\x1b…")
    _, out, _ = bon(capsys, "inspect", run, write_mixed(run.parent.parent / "other" / "run.parquet"))
    assert long in out


def test_several_runs_stand_side_by_side(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Model, N, T, verification rate and first-candidate rate, a row each."""
    other = write(
        tmp_path / "other" / "run.parquet", [judged("one", ["pass"])], {"model": "better", "temperature": "0.2"}
    )
    code, out, _ = bon(capsys, "inspect", run, other)
    assert code == 0
    header, first, second = out.splitlines()[:3]
    assert header.split()[:6] == ["run", "model", "N", "T", "queries", "verified"]
    assert first.split()[:7] == [str(run), "mock", "4", "0.7", "3", "37.5", "%"]
    assert second.split()[:7] == [str(other), "better", "1", "0.2", "1", "100.0", "%"]
    assert len(inspected(capsys, run, other)) == 2


def test_an_empty_run_is_said_and_left_out(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone it is a mistake; among others it does not stand in their way."""
    empty = write(tmp_path / "empty" / "run.parquet", [])
    assert summarise(empty)["overall"]["verification_rate"] is None
    code, out, err = bon(capsys, "inspect", empty)
    assert (code, out) == (2, "")
    assert "an empty run" in err
    code, out, err = bon(capsys, "inspect", empty, run, "--json")
    assert code == 0
    assert len(json.loads(out)["runs"]) == 1
    assert "an empty run" in err


@pytest.mark.parametrize("command", ["inspect", "show"])
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, without a traceback."""
    (tmp_path / "text.parquet").write_text("not parquet at all")
    for wrong in (tmp_path / "nix", tmp_path / "text.parquet", tmp_path):
        path = tmp_path / "empty" if wrong == tmp_path else wrong
        path.mkdir() if wrong == tmp_path else None
        code, out, err = bon(capsys, command, path)
        assert (code, out) == (2, "")
        assert err.startswith(f"{path}: ")
        assert err.count("\n") == 1


def test_show_prints_prompts_references_and_candidates(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With verdict, reason and tokens of each."""
    code, out, err = bon(capsys, "show", run)
    assert (code, err) == (0, "")
    for text in ("What is one?", "Use \\boxed{}.", "reference:\n5", "candidate 0: pass · because pass · 20 tokens"):
        assert text in out
    assert "candidate 3: api_error" in out
    assert "HTTP 500 from the server" in out
    assert out.count("== Query") == 3


def test_show_takes_what_is_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By query (its beginning is enough), split, verdict, and so many."""
    assert bon(capsys, "show", run, "--query", "id-tw")[1].count("== Query") == 1
    assert "three" in bon(capsys, "show", run, "--split", "tools")[1]
    failed = bon(capsys, "show", run, "--verdict", "fail")[1]
    assert failed.count("-- candidate") == failed.count(": fail ·") == 3
    code, out, err = bon(capsys, "show", run, "--limit", 1)
    assert code == 0
    assert out.count("== Query") == 1
    assert "2 more queries" in err


def test_show_finds_a_query_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also behind the first rows that are read at once."""
    monkeypatch.setattr(runs, "BATCH_ROWS", 3)
    run = write(tmp_path / "run.parquet", [judged(str(n), ["fail", "pass"], text=f"answer {n}") for n in range(9)])
    _, out, _ = bon(capsys, "show", run, "--query", "id-7", "--verdict", "pass")
    assert out.count("-- candidate 1: pass") == out.count("-- candidate") == 1
    assert "answer 7" in out


def test_show_says_what_there_is_where_nothing_matches(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdicts there are, the splits there are."""
    code, _, err = bon(capsys, "show", run, "--split", "maths")
    assert code == 2
    assert "its splits are math, tools" in err
    code, _, err = bon(capsys, "show", run, "--verdict", "passed")
    assert code == 2
    assert "wanted one of pass, fail" in err


def test_long_texts_are_folded_unless_their_query_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beginning and end stay, and the note says how to see all of it."""
    text = "\n".join(f"line {number}" for number in range(100))
    run = write(
        tmp_path / "run.parquet", [judged("one", ["pass"], text=text), judged("two", ["pass"], text="x" * 10_000)]
    )
    _, out, _ = bon(capsys, "show", run)
    assert "line 0\n" in out
    assert "line 99\n" in out
    assert "line 50\n" not in out
    assert "70 lines; --query ID shows all of it" in out
    assert "7,000 characters" in out
    assert text in bon(capsys, "show", run, "--query", "id-one")[1]


def test_what_a_model_wrote_commands_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences are shown as what they are, but for the bell, which is left out; brackets are no markup."""
    text = "\x1b[2J\x1b]0;owned\x07 [red]not red[/red] :smile: \x9b1m"
    _, out, _ = bon(capsys, "show", write(tmp_path / "run.parquet", [judged("one", ["pass"], text=text)]))
    assert "\\x1b[2J\\x1b]0;owned [red]not red[/red] :smile: \\x9b1m" in out
    assert not set(out) & {"\x1b", "\x07", "\x9b"}


def test_a_terminal_gets_colour_and_rules(run: Path) -> None:
    """As a user sees it, on a real pseudo-terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "PYTHONPATH": str(ROOT)}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "bon_hydra.cli", "inspect", str(run)]
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0
    assert "\x1b[1;36mVerdicts" in shown.decode()
    assert "──" in shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux's way of saying that the other end is closed
        return b""


def test_the_table_at_the_end_of_a_run_fits_a_terminal(run: Path) -> None:
    """80 columns are enough for its figures; what was not scored or cut off is said below."""
    out = Console(width=80, record=True, file=io.StringIO(), force_terminal=True)
    out.print(final_table(summarise(run)))
    text = out.export_text()
    assert ["overall", "3", "9", "37.5", "%"] in [line.split()[:5] for line in text.splitlines()]
    assert "Not scored, and not counted as wrong: api_error 1." in text
    assert "…" not in text


def test_results_are_printed_to_where_one_says(run: Path, tmp_path: Path) -> None:
    """A file is a pipe."""
    with (tmp_path / "out.txt").open("w") as file:
        console(file).print(final_table(summarise(run)))
    assert (tmp_path / "out.txt").read_text().splitlines()[0].split()[:3] == ["split", "queries", "candidates"]


def started(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command of its own process."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )


def test_the_seeds_script_is_bon_inspect(run: Path) -> None:
    """`python scripts/inspect_experiment.py FILE`."""
    script = started(ROOT / "scripts" / "inspect_experiment.py", run)
    assert script.returncode == 0
    assert script.stdout == started("-m", "bon_hydra.cli", "inspect", run).stdout
    assert "Verification rates" in script.stdout


def test_help_and_version_import_nothing_heavy() -> None:
    """So that they are there at once."""
    heavy = "numpy pyarrow pandas scipy rich omegaconf hydra openai datasets"
    code = f"""
import sys
from bon_hydra.cli import main
try:
    main([{{}}])
finally:
    print(sorted(set({heavy.split()!r}) & set(sys.modules)), file=sys.stderr)
"""
    shown = started("-c", code.format("'--help'"))
    assert "inspect" in shown.stdout
    assert "show" in shown.stdout
    assert shown.stderr.strip() == "[]"
    version = started("-c", code.format("'--version'"))
    assert version.stdout.strip() == f"bon_hydra {__version__}"
    assert version.stderr.strip() == "[]"
