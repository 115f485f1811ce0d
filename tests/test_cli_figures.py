"""What `bon inspect` makes of runs that are not as they should be, by any key, and as a picture."""

from __future__ import annotations

import io
import json
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bon_command import bon
from rich.console import Console
from sample_runs import METADATA, judged, write, write_mixed

from bon_hydra import runs
from bon_hydra.records import Judged
from bon_hydra.report import elections
from bon_hydra.report.inspection import inspect_one
from bon_hydra.report.panels import outcome_shares
from bon_hydra.report.summary import summarise


def many(path: Path, outcomes: Sequence[Sequence[str]], **more: Any) -> Path:
    """A run of so many queries."""
    return write(path, [judged(str(at), one, **more) for at, one in enumerate(outcomes)])


FULL = ["pass", "fail", "fail", "fail"]


def test_curves_rest_on_one_set_of_queries(tmp_path: Path) -> None:
    """Queries that lack a candidate are in no point of the curve, not only in some of them."""
    run = many(tmp_path / "run.parquet", [FULL] * 97 + [["pass", "pass", "api_error", "api_error"]] * 3)
    overall = summarise(run)["overall"]
    assert (overall["reach"], overall["common_queries"]) == (4, 97)
    for k in "1234":
        assert overall["pass_at_k"][k]["queries"] == 97
        assert overall["pass_at_k"][k]["estimate"] == pytest.approx(int(k) / 4)
        assert overall["marginal_at_k"][k]["estimate"] == pytest.approx(1 / 4)
    assert overall["pass_hat_k"]["2"]["estimate"] == 0.0
    assert overall["candidates_for"]["0.5"]["k"] == 2


def test_curves_stop_where_too_few_queries_go_on(tmp_path: Path) -> None:
    """At the last k that 95 % of them have; what is missing is bounded."""
    run = many(tmp_path / "run.parquet", [FULL] * 90 + [["fail", "fail", "api_error", "api_error"]] * 10)
    overall = summarise(run)["overall"]
    assert overall["reach"] == 2
    assert overall["pass_at_k"]["2"]["queries"] == 100
    assert overall["pass_at_k"]["3"] == {"estimate": None, "ci95": None, "queries": 90}
    assert overall["missing"] == {"candidates": 20, "share": pytest.approx(0.05)}
    assert overall["bounds"]["verification_rate"] == pytest.approx([90 / 400, 110 / 400])
    assert overall["bounds"]["pass_at_k"]["4"] == pytest.approx([0.9, 1.0])
    assert overall["bounds"]["any_candidate_rate"] == pytest.approx([0.9, 1.0])
    assert overall["bounds"]["first_candidate_rate"] == pytest.approx([0.9, 0.9])


def test_bounds_hold_the_truth_where_misses_rise_with_difficulty(tmp_path: Path) -> None:
    """The curve that drops such queries does not; this is what bounds are for."""
    draw = np.random.default_rng(0)
    chance = draw.beta(1, 1, 200)
    right = draw.random((200, 8)) < chance[:, None]
    missing = draw.random((200, 8)) < 0.4 * (1 - chance[:, None])
    outcomes = np.where(missing, "api_error", np.where(right, "pass", "fail")).tolist()
    overall = summarise(many(tmp_path / "run.parquet", outcomes))["overall"]
    low, high = overall["bounds"]["pass_at_k"]["8"]
    assert low <= right.any(axis=1).mean() <= high
    assert overall["verification_rate"] > overall["bounds"]["verification_rate"][0]
    assert overall["verification_rate"] < overall["bounds"]["verification_rate"][1]


def test_queries_that_cannot_be_judged_are_told_apart_from_those_without_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No reference is the data set's fault and leaves the query out; no response is missing."""
    outcomes = [*[FULL] * 40, ["unverifiable"] * 4, ["unverifiable"] * 4, ["api_error"] * 4, ["verifier_error"] * 4]
    run = many(tmp_path / "run.parquet", outcomes)
    overall = summarise(run)["overall"]
    assert overall["coverage"]["judged"] == 40
    assert overall["coverage"]["left_out"] == {"unverifiable": 2, "verifier_error": 1, "api_error": 1}
    assert overall["missing"]["candidates"] == 8
    assert overall["plain_mean"] == pytest.approx(40 / 176)
    assert overall["verification_rate"] == pytest.approx(1 / 4)
    _, out, _ = bon(capsys, "inspect", run)
    assert "Queries left out, since none of their candidates is scored: unverifiable 2" in out
    assert "The plain mean of is_verified over all rows, which counts those as wrong, is 22.7 %." in out


def test_a_complete_run_has_nothing_to_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No bounds, no other mean, no queries left out."""
    run = many(tmp_path / "run.parquet", [FULL] * 5)
    overall = summarise(run)["overall"]
    assert overall["bounds"] is None
    assert overall["plain_mean"] == overall["verification_rate"]
    _, out, _ = bon(capsys, "inspect", run)
    for text in ("plain mean", "left out", "missing", "Curves stop"):
        assert text not in out


def test_a_first_candidate_that_wins_is_called_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Draws are exchangeable: a seed, n= or a cache must be behind it. A flat rate is called flat."""
    draw = np.random.default_rng(1)
    rates = {"wins": [0.8, 0.4, 0.4, 0.4], "flat": [0.5] * 4}
    for name, rate in rates.items():
        outcomes = np.where(draw.random((120, 4)) < rate, "pass", "fail").tolist()
        run = many(tmp_path / name / "run.parquet", outcomes)
        test = summarise(run)["overall"]["index_test"]
        assert (test["p_value"] <= 0.01) == (name == "wins")
        _, out, _ = bon(capsys, "inspect", run)
        assert ("one seed for several candidates, n= that the server treats unevenly, or a cache" in out) == (
            name == "wins"
        )
        assert ("the first candidate is as good as any other" in out) == (name == "flat")


def test_candidates_that_always_agree_are_called_suspicious(tmp_path: Path) -> None:
    """As one seed for all of them makes them."""
    run = many(tmp_path / "run.parquet", [["pass"] * 4] * 15 + [["fail"] * 4] * 15)
    assert "the same answer N times" in summarise(run)["overall"]["index_test"]["says"]
    few = many(tmp_path / "few.parquet", [["pass"] * 4] * 3)
    assert "nothing to test" in summarise(few)["overall"]["index_test"]["says"]


def scored(one: Judged, scores: Sequence[float | None]) -> Judged:
    """The query with a score for each candidate."""
    return replace(
        one, verdicts=tuple(replace(verdict, score=s) for verdict, s in zip(one.verdicts, scores, strict=True))
    )


def test_scores_elect_the_best_and_weigh_votes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """best@k takes the highest score of k; weighted votes can overrule a majority. Without scores there is neither."""
    one = scored(judged("one", ["fail", "fail", "pass"], classes=[0, 0, 1]), [0.1, 0.1, 0.9])
    two = scored(judged("two", ["pass", "fail", "fail"], classes=[0, 1, 2]), [0.2, None, 0.6])
    run = write(tmp_path / "run.parquet", [one, two])
    overall = summarise(run)["overall"]
    assert overall["best_at_k"]["3"]["estimate"] == pytest.approx(1 / 2)
    assert overall["best_at_k"]["1"]["estimate"] == pytest.approx(1 / 3)
    assert overall["best_at_k"]["2"]["estimate"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert overall["majority_at_k"]["3"]["estimate"] == pytest.approx((0 + 1 / 3) / 2)
    assert overall["weighted_majority_at_k"]["3"]["estimate"] == pytest.approx(1 / 2)
    assert "monte_carlo_error" in overall["weighted_majority_at_k"]["2"]
    _, out, _ = bon(capsys, "inspect", run)
    assert "best@k" in out
    assert "Votes are sampled: standard error" in out
    plain = summarise(many(tmp_path / "plain.parquet", [FULL]))["overall"]
    assert plain["best_at_k"] == plain["weighted_majority_at_k"] == {}
    assert plain["majority_at_k"]["1"]["estimate"] is None


def test_too_many_different_votes_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the error of it; the figure stays that of all subsets."""
    draw = np.random.default_rng(2)
    queries = [
        judged(
            str(at), np.where(draw.random(6) < 0.5, "pass", "fail").tolist(), classes=draw.integers(0, 3, 6).tolist()
        )
        for at in range(60)
    ]
    exact = summarise(write(tmp_path / "a.parquet", queries))["overall"]["majority_at_k"]
    monkeypatch.setattr(elections, "EXACT_WORK", 500)
    sampled = summarise(write(tmp_path / "b.parquet", queries))["overall"]["majority_at_k"]
    for k in "234":
        error = sampled[k]["monte_carlo_error"]
        assert 0 < error < 0.02
        assert sampled[k]["estimate"] == pytest.approx(exact[k]["estimate"], abs=4 * error)
        assert "monte_carlo_error" not in exact[k]


@pytest.mark.parametrize("batch", [3, 7, 1000])
def test_rows_that_stand_apart_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """As a system writes them that does not order its candidates: the figures are the same."""
    draw = np.random.default_rng(3)
    outcomes = np.where(draw.random((20, 4)) < 0.5, "pass", "fail").tolist()
    path = many(tmp_path / "run.parquet", outcomes, classes=[0, 0, 1, 1])
    table = pq.read_table(path)
    monkeypatch.setattr(runs, "BATCH_ROWS", batch)
    shuffled = tmp_path / "shuffled.parquet"
    pq.write_table(table.take(pa.array(draw.permutation(len(table)))), shuffled)
    found, expected = (summarise(one)["overall"] for one in (shuffled, path))
    for name in ("cost_usd", "cost_per_verified"):
        assert found.pop(name) == pytest.approx(expected.pop(name))
    assert found == expected


def test_what_other_systems_write_is_read_as_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole numbers as ids, categories as splits, numbers for yes and no; a text for yes and no is refused."""
    columns = {
        "query_id": pa.array([7, 7, 8, 8]),
        "split": pa.array(["math", "math", None, None]).dictionary_encode(),
        "candidate_idx": pa.array([0.0, 1.0, 0.0, 1.0]),
        "is_verified": pa.array([1, 0, 0, None]),
    }
    path = tmp_path / "run.parquet"
    pq.write_table(pa.table(columns), path)
    found = summarise(path)
    assert (found["overall"]["queries"], found["overall"]["verified"]) == (2, 1)
    assert set(found["splits"]) == {"math", "(none)"}
    for command in (["inspect", path], ["compare", path, path], ["show", path]):
        assert bon(capsys, *command)[0] == 0
    pq.write_table(pa.table({**columns, "is_verified": ["yes"] * 4}), path)
    for command in (["inspect", path], ["compare", path, path], ["show", path]):
        code, out, err = bon(capsys, *command)
        assert (code, out) == (2, "")
        assert err == f"{path}: not a run: its is_verified is string, wanted bool\n"


def with_meta(one: Judged, meta: str | None) -> Judged:
    """The query with kept columns."""
    return replace(one, query=replace(one.query, source_meta=meta))


@pytest.fixture
def by_level(tmp_path: Path) -> Path:
    """A run with a level and a nested source for each query but the last, whose row kept nothing."""
    metas = [
        json.dumps({"level": level, "metadata": json.dumps({"source": {"name": "ab"[level % 2]}})})
        for level in (10, 2, 2)
    ]
    outcomes = [["pass", "pass"], ["fail", "pass"], ["fail", "fail"], ["pass", "fail"]]
    queries = [
        with_meta(judged(str(at), one), meta)
        for at, (one, meta) in enumerate(zip(outcomes, [*metas, None], strict=True))
    ]
    return write(tmp_path / "run.parquet", queries)


@pytest.mark.parametrize(
    ("key", "rates"),
    [
        ("level", {"2": 0.25, "10": 1.0, "(none)": 0.5}),
        ("source_meta.level", {"2": 0.25, "10": 1.0, "(none)": 0.5}),
        ("metadata.source.name", {"a": 0.5, "(none)": 0.5}),
        ("split", {"math": 0.5}),
        ("verifier", {"math 1": 0.5}),
        ("candidate_idx", {"0": 0.5, "1": 0.5}),
        ("verdict", {"fail": 0.0, "pass": 1.0}),
    ],
)
def test_figures_go_by_any_column_or_kept_key(
    by_level: Path, capsys: pytest.CaptureFixture[str], key: str, rates: dict[str, float]
) -> None:
    """Numbers in their order, nested keys by dots, also inside JSON texts."""
    code, out, _ = bon(capsys, "inspect", by_level, "--by", key, "--json")
    assert code == 0
    (run,) = json.loads(out)["runs"]
    assert run["by"]["key"] == key
    found = {name: section["verification_rate"] for name, section in run["by"]["groups"].items()}
    assert list(found) == list(rates)
    assert found == pytest.approx(rates)
    assert run["overall"]["verification_rate"] == 0.5
    code, out, _ = bon(capsys, "inspect", by_level, "--by", key)
    assert f"By {key}" in out


def test_a_key_that_is_none_names_those_there_are(by_level: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2; so do groups that are too many."""
    code, out, err = bon(capsys, "inspect", by_level, "--by", "levle")
    assert (code, out) == (2, "")
    assert "a key of source_meta: level, metadata" in err
    assert "verifier" in err
    assert err.count("\n") == 1
    large = many(by_level.parent / "large.parquet", [["pass"]] * 101)
    code, _, err = bon(capsys, "inspect", large, "--by", "question")
    assert code == 2
    assert "more than 100 different values" in err


def test_several_runs_show_their_notes_and_what_they_leave_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where one decides between them."""
    a = write_mixed(tmp_path / "a" / "run.parquet", METADATA | {"notes": "What: colder"})
    b = write_mixed(tmp_path / "b" / "run.parquet", METADATA | {"notes": ""})
    _, out, _ = bon(capsys, "inspect", a, b, "--by", "verifier")
    assert "a: Notes: What: colder" in out
    assert "b: Not scored, and not counted as wrong: api_error 1." in out
    assert "math 1" in out.splitlines()[0]
    assert "bon compare" in out


def test_a_narrow_terminal_gets_every_figure(tmp_path: Path) -> None:
    """Wide tables go on below, beside the names of their rows again; nothing is cut."""
    run = summarise(write_mixed(tmp_path / "run.parquet"))
    out = Console(width=80, record=True, file=io.StringIO(), force_terminal=True)
    out.print(inspect_one(run))
    text = out.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    for value in ("37.5 %", "66.7 %", "api_error", "per verified", "$0.0027"):
        assert value in text
    rates = text[text.index("Verification rates") : text.index("Verdicts")]
    assert rates.count("overall") == 2


def test_a_pipe_gets_nothing_behind_the_last_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines can be compared as they are."""
    _, out, _ = bon(capsys, "inspect", write_mixed(tmp_path / "run.parquet"))
    assert all(line == line.rstrip() for line in out.splitlines())


def test_tokens_and_seconds_are_told_to_one_per_cent(tmp_path: Path) -> None:
    """The median and what most stay below, without keeping each of them."""
    queries = [
        judged(str(at), ["pass"], response={"completion_tokens": at, "latency_s": at / 100}) for at in range(1, 1001)
    ]
    overall = summarise(write(tmp_path / "run.parquet", queries))["overall"]
    for name, scale in (("completion_tokens", 1), ("latency_s", 100)):
        for share, value in overall["quantiles"][name].items():
            assert value * scale == pytest.approx(1000 * float(share), rel=0.02)
    assert overall["completion_tokens"] == 500_500


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two runs worth a picture, one of them with a cut-off and an unscored candidate, and names that mean trouble."""
    draw = np.random.default_rng(4)
    paths = []
    for name, rate in (("a", 0.4), ("b", 0.7)):
        queries = [
            judged(f"{name}{at}", np.where(draw.random(4) < rate, "pass", "fail").tolist(), split=f"sp$lit_{at % 2}$")
            for at in range(30)
        ]
        queries.append(judged("cut", ["pass", "no_answer", "api_error"], response={"finish_reason": "length"}))
        metadata = METADATA | {"experiment": f"${name}$ <b>", "temperature": str(rate), "notes": "What: $x_1$ & <i>"}
        paths.append(write(tmp_path / name / "run.parquet", queries, metadata))
    return paths


def test_a_run_becomes_a_png(two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real one, of a size one can read; figures are still printed."""
    code, out, err = bon(capsys, "inspect", two[0], "--plot", tmp_path / "run.png")
    assert code == 0
    assert "Verification rates" in out
    assert err == f"drawn: {tmp_path / 'run.png'}\n"
    data = (tmp_path / "run.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width > 1500
    assert height > 900


@pytest.mark.parametrize("more", [[], ["--by", "verifier"]])
def test_several_runs_are_laid_over_each_other(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """In an SVG, which is the same each time."""
    drawn = []
    for name in ("one.svg", "two.SVG"):
        code, _, _ = bon(capsys, "inspect", *two, "--plot", tmp_path / name, *more)
        assert code == 0
        drawn.append((tmp_path / name).read_text())
    assert drawn[0] == drawn[1]
    assert ElementTree.fromstring(drawn[0]).tag.endswith("svg")


def test_outcomes_are_shares_of_all_candidates(two: list[Path]) -> None:
    """A cut-off answer that is right is verified; the rest of the parts add up."""
    section = summarise(two[0])["overall"]
    shares = outcome_shares(section)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["cut off"] == pytest.approx(1 / 123)
    assert shares["errors"] == pytest.approx(1 / 123)


def test_a_picture_that_cannot_be_drawn_is_refused_at_once(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another format, a folder that is not there, too many lines to tell apart: before anything is counted."""
    for target, said in (("run.jpg", "wanted a file that ends in .png or .svg"), ("nix/run.png", "no folder")):
        code, out, err = bon(capsys, "inspect", two[0], "--plot", tmp_path / target)
        assert (code, out) == (2, "")
        assert said in err
    large = many(tmp_path / "large.parquet", [["pass"]] * 20)
    code, _, err = bon(capsys, "inspect", large, "--by", "question", "--plot", tmp_path / "run.png")
    assert code == 2
    assert "at most 8" in err


def test_what_nobody_knows_is_left_blank_in_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of the seed's system has no tokens, no seconds, no costs; one candidate a query has no curve."""
    columns = {"query_id": ["x", "y"], "split": ["math"] * 2, "candidate_idx": [0, 0], "is_verified": [True, False]}
    pq.write_table(pa.table(columns), tmp_path / "seed.parquet")
    assert bon(capsys, "inspect", tmp_path / "seed.parquet", "--plot", tmp_path / "run.png")[0] == 0
    assert (tmp_path / "run.png").stat().st_size > 10_000
