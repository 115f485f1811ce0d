"""`bon compare`: what it says of two runs is right, and it warns where their verdicts do not mean the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from bon_command import bon
from sample_runs import METADATA, judged, write

from bon_hydra.records import Judged

KEYS = {"rate_a", "rate_b", "difference", "ci95", "p_value", "method", "wins", "losses", "ties"}


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The document of `bon compare --json`."""
    code, out, err = bon(capsys, "compare", *arguments, "--json")
    assert (code, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    return document


def query(name: str, outcome: str, split: str = "math", run: str = "", classes: Sequence[int] | None = None) -> Judged:
    """A query whose candidates pass where the outcome has a 1; the draws of each run are its own."""
    one = judged(name, ["pass" if right == "1" else "fail" for right in outcome], split=split, classes=classes)
    if run:
        one = replace(one, candidates=tuple(replace(c, candidate_id=f"{run}/{c.candidate_id}") for c in one.candidates))
    return one


def run_of(path: Path, outcomes: dict[str, str], run: str, metadata: dict[str, str] | None = None) -> Path:
    """A run with a query for each outcome; names that begin with c are code."""
    queries = [query(name, one, "code" if name.startswith("c") else "math", run) for name, one in outcomes.items()]
    return write(path / run / "run.parquet", queries, METADATA | (metadata or {}))


A = {"m1": "10", "m2": "00", "m3": "11", "c1": "01", "only": "11"}
B = {"m1": "11", "m2": "00", "m3": "10", "c1": "11", "other": "00"}


def test_a_comparison_is_over_the_queries_both_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures worked out by hand, with the contract's names."""
    a, b = run_of(tmp_path, A, "a"), run_of(tmp_path, B, "b")
    found = compared(capsys, a, b)
    assert (found["a"], found["b"], found["metric"]) == (str(a), str(b), "pass@1")
    assert (found["shared_queries"], found["only_a"], found["only_b"], found["shared_candidates"]) == (4, 1, 1, 0)
    overall = found["overall"]
    assert set(overall) >= KEYS | {"minimum_detectable_effect"}
    assert (overall["wins"], overall["losses"], overall["ties"]) == (2, 1, 1)
    assert (overall["rate_a"], overall["rate_b"]) == pytest.approx((2 / 4, 2.5 / 4))
    assert overall["difference"] == pytest.approx(0.125)
    # signs of three halves: their sum is as large as 0.5 in all 8 cases, and as large as 1.5 in two of them
    assert overall["p_value"] == pytest.approx(2 / 8 + 6 / 8 / 2)
    assert "exact" in overall["method"]
    low, high = overall["ci95"]
    assert low < 0.125 < high
    assert set(found["splits"]) == {"math", "code"}
    assert found["splits"]["code"]["difference"] == pytest.approx(0.5)
    assert found["splits"]["code"]["p_holm"] >= found["splits"]["code"]["p_value"]


def test_a_run_may_be_given_as_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As everywhere; two runs where one is wanted are refused."""
    a, b = run_of(tmp_path, A, "a"), run_of(tmp_path, B, "b")
    assert compared(capsys, a.parent, b)["shared_queries"] == 4
    code, _, err = bon(capsys, "compare", tmp_path, b)
    assert code == 2
    assert "2 runs, wanted one" in err


@pytest.mark.parametrize(
    ("metric", "rates"),
    [
        ("pass@2", (3 / 4, 3 / 4)),
        ("pass^2", (1 / 4, 2 / 4)),
        ("any", (3 / 4, 3 / 4)),
        ("first", (2 / 4, 3 / 4)),
        ("first_candidate_rate", (2 / 4, 3 / 4)),
    ],
)
def test_other_metrics_are_compared_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, rates: tuple[float, float]
) -> None:
    """Each on one value a query."""
    overall = compared(capsys, run_of(tmp_path, A, "a"), run_of(tmp_path, B, "b"), "--metric", metric)["overall"]
    assert (overall["rate_a"], overall["rate_b"]) == pytest.approx(rates)


def test_majorities_and_the_best_by_score_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Votes over equal answers; the highest score; where there are none, that is said."""
    queries = [query(name, outcome, classes=[0, 0, 1]) for name, outcome in {"x": "001", "y": "110"}.items()]
    scored = [
        replace(one, verdicts=tuple(replace(v, score=s) for v, s in zip(one.verdicts, (0.1, 0.5, 0.9), strict=True)))
        for one in queries
    ]
    a = write(tmp_path / "a" / "run.parquet", scored)
    assert compared(capsys, a, a, "--metric", "majority@3")["overall"]["rate_a"] == pytest.approx(1 / 2)
    assert compared(capsys, a, a, "--metric", "majority@1")["overall"]["rate_a"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert compared(capsys, a, a, "--metric", "best@3")["overall"]["rate_a"] == pytest.approx(1 / 2)
    b = run_of(tmp_path, {"x": "001", "y": "110"}, "b")
    code, _, err = bon(capsys, "compare", b, b, "--metric", "majority@3")
    assert code == 2
    assert "no classes" in err
    assert "takes answers with scores" in bon(capsys, "compare", b, b, "--metric", "best@3")[2]


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("any", "N is 2 and 3, so that any-candidate rates differ by N alone"),
        ("any_candidate_rate", "compare --metric pass@2"),
        ("pass@3", "has N=2, so both reach K=2 at most"),
        ("pass@0", "no such metric"),
        ("pas@1", "no such metric, wanted pass@K"),
        ("verification_rate", "is pass@1"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, said: str
) -> None:
    """In one line, with exit code 2."""
    a, b = run_of(tmp_path, {"x": "10"}, "a"), run_of(tmp_path, {"x": "101"}, "b")
    code, out, err = bon(capsys, "compare", a, b, "--metric", metric)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_runs_that_share_no_query_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what each of them has; an empty run likewise."""
    a, b = run_of(tmp_path, {"x": "10"}, "a"), run_of(tmp_path, {"y": "10"}, "b")
    code, out, err = bon(capsys, "compare", a, b)
    assert (code, out) == (2, "")
    assert "share no queries" in err
    assert "1 of math" in err
    empty = write(tmp_path / "empty.parquet", [])
    code, _, err = bon(capsys, "compare", a, empty)
    assert code == 2
    assert "an empty run" in err


def test_one_shared_query_is_enough_to_say_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And that they are few is said."""
    found = compared(capsys, run_of(tmp_path, {"x": "10"}, "a"), run_of(tmp_path, {"x": "11"}, "b"))
    assert found["overall"]["p_value"] == 0.5
    assert any("1 queries are few" in line for line in found["warnings"])


def altered(path: Path, target: Path, column: str, value: Any) -> Path:
    """The run with another column."""
    table = pq.read_table(path)
    values = (
        value(table[column]) if callable(value) else pa.array([value] * len(table), table.schema.field(column).type)
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.set_column(table.schema.get_field_index(column), table.schema.field(column), values), target)
    return target


def test_what_makes_verdicts_mean_different_things_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another verifier, another reference: loudly, in the text too."""
    a = run_of(tmp_path, A, "a")
    other = altered(a, tmp_path / "v" / "run.parquet", "verifier", "math 2")
    (warning,) = (line for line in compared(capsys, a, other)["warnings"] if "verifiers differ" in line)
    assert "5 shared queries were judged by math 1 in a and math 2 in b" in warning
    reference = altered(a, tmp_path / "r" / "run.parquet", "reference", "6")
    assert any("references differ in 5 shared queries" in line for line in compared(capsys, a, reference)["warnings"])
    _, out, _ = bon(capsys, "compare", a, other)
    assert "WARNING verifiers differ" in out
    alike = compared(capsys, a, run_of(tmp_path, B, "b"))["warnings"]
    assert not any("verifiers differ" in line or "references differ" in line for line in alike)


def test_many_cut_off_answers_are_warned_of_and_the_rest_stands_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than 2 % of them, in one of the runs."""
    a = run_of(tmp_path, A, "a")

    def first_cut(column: Any) -> Any:
        return pc.if_else(pa.array(np.arange(len(column)) % 2 == 0), "length", "stop")

    b = altered(run_of(tmp_path, B, "b"), tmp_path / "cut" / "run.parquet", "finish_reason", first_cut)
    found = compared(capsys, a, b)
    assert any(line.startswith("b: 50.0 % of the answers were cut off") for line in found["warnings"])
    # the second candidates of B: 1, 0, 0, 1 (the fifth query is not shared)
    assert found["overall"]["uncut"] == {"rate_a": pytest.approx(4 / 8), "rate_b": pytest.approx(2 / 4)}
    _, out, _ = bon(capsys, "compare", a, b)
    assert "b uncut" in out


def test_draws_that_stand_in_both_runs_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of N=4 that reuses the two of a run of N=2."""
    small = write(tmp_path / "a" / "run.parquet", [query("x", "10"), query("y", "00"), query("z", "00")])
    large = write(tmp_path / "b" / "run.parquet", [query("x", "1011"), query("y", "0001")])
    found = compared(capsys, small, large)
    assert found["shared_candidates"] == 4
    assert "4 candidates are the same draws in both" in bon(capsys, "compare", small, large)[1]


def test_queries_that_lack_candidates_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a metric that takes more candidates than are scored."""
    a = write(tmp_path / "a" / "run.parquet", [judged("x", ["pass", "api_error"]), judged("y", ["pass", "fail"])])
    b = write(tmp_path / "b" / "run.parquet", [judged("x", ["pass", "pass"]), judged("y", ["fail", "fail"])])
    found = compared(capsys, a, b, "--metric", "pass@2")
    assert found["shared_queries"] == 2
    assert found["overall"]["queries"] == 1
    assert any("1 of 2 shared queries lack pass@2" in line for line in found["warnings"])
    assert any("a: 25.0 % of the candidates are not scored" in line for line in found["warnings"])


def test_what_changed_and_why_stands_above(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of the configuration that differ, and both runs' notes; not what changes no answer."""
    config = (
        "defaults: [base_config]\ntemperature: {t}\nmodel: {{name: m, prices: null}}\nnotes: {n}\nconcurrency: {t}\n"
    )
    a = run_of(tmp_path, A, "a", {"config_yaml": config.format(t=1, n="x"), "notes": "What: the old way"})
    b = run_of(tmp_path, B, "b", {"config_yaml": config.format(t=2, n="y"), "notes": "What: hotter"})
    found = compared(capsys, a, b)
    assert found["changed"] == {"temperature": [1, 2]}
    _, out, _ = bon(capsys, "compare", a, b)
    for text in ("Changed: temperature 1 -> 2", "Notes: What: the old way", "Notes: What: hotter"):
        assert text in out
    assert "No difference can be told" in out


def test_a_clear_improvement_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With direction, interval and p."""
    a = run_of(tmp_path, {f"q{at}": "1000" for at in range(40)}, "a")
    b = run_of(tmp_path, {f"q{at}": "1101" for at in range(40)}, "b")
    assert "b is better: pass@1 +50.0 points" in bon(capsys, "compare", a, b)[1]
    assert "b is worse: pass@1 -50.0 points" in bon(capsys, "compare", b, a)[1]
    assert compared(capsys, a, b)["overall"]["p_value"] < 1e-9


def test_comparisons_go_by_any_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A group's queries compared with each other, p-values adjusted for their number."""
    found = compared(capsys, run_of(tmp_path, A, "a"), run_of(tmp_path, B, "b"), "--by", "question")
    assert found["by"]["key"] == "question"
    assert found["by"]["groups"]["What is m1?"]["wins"] == 1
    assert found["by"]["groups"]["What is m1?"]["p_holm"] == 1.0


def test_files_of_the_seeds_system_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its four columns are enough."""
    paths = []
    for name, right in (("a", [True, False, False, False]), ("b", [True, True, False, True])):
        columns = {"query_id": ["x", "y"] * 2, "split": ["math"] * 4, "candidate_idx": [0, 0, 1, 1]}
        pq.write_table(pa.table({**columns, "is_verified": right}), tmp_path / f"{name}.parquet")
        paths.append(tmp_path / f"{name}.parquet")
    found = compared(capsys, *paths)
    assert (found["overall"]["rate_a"], found["overall"]["rate_b"]) == (0.25, 0.75)
    assert found["shared_candidates"] == 0
