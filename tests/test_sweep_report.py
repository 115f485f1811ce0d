"""What a sweep says of its points: a table with marks, a plot, comparisons and a page, from its record alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bon_command import bon
from sample_runs import write_mixed
from sweep_runs import over_n_and_temperature, sweep_of

from bon_hydra.report.sweep.finish import finish_sweep
from bon_hydra.report.sweep.plot import heat_axes, plot_sweep
from bon_hydra.report.sweep.rows import view_of

RATES = {"0.2": 0.75, "0.6": 0.7, "1.0": 0.15}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The table's overall rows."""
    rows: list[dict[str, Any]] = pq.read_table(folder / "sweep.parquet").to_pylist()
    return [row for row in rows if row["split"] == "overall"]


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Jobs 0, 1, 2 with one candidate and 3, 4, 5 with four, each at three temperatures."""
    return over_n_and_temperature(tmp_path / "14-05-33_tried_sweep", RATES)


def test_all_points_that_cannot_be_told_from_the_best_are_marked(
    capsys: pytest.CaptureFixture[str], sweep: Path
) -> None:
    """A prefix of the best overlaps it and is not tested; it is said by which rate and on which queries."""
    assert finish_sweep(sweep) == 0
    rows = rows_of(sweep)
    best = next(row for row in rows if row["best"])
    other = {3: 4, 4: 3}[best["job"]]
    assert rows[other]["not_told_from_best"]
    assert rows[5]["p_holm"] < 0.05
    assert not rows[5]["not_told_from_best"]
    assert rows[5]["from_best_low"] <= rows[5]["from_best"] <= rows[5]["from_best_high"] < 0
    assert [row["overlaps"] for row in rows] == [row["job"] == best["job"] - 3 for row in rows]
    assert rows[best["job"] - 3]["p_holm"] is None
    assert {row["ranked_by"] for row in rows} == {"pass@N"}
    out, err = capsys.readouterr()
    lines = {line.split()[0]: line for line in out.splitlines() if line[:1].isdigit()}
    assert "best" in lines[str(best["job"])]
    assert "not told from it" in lines[str(other)]
    assert "overlaps it" in lines[str(best["job"] - 3)]
    assert "worse" in lines["5"]
    assert "over the 30 queries that all finished points have" in out
    assert "was chosen on these queries" in out
    assert f"plot: {sweep / 'sweep.png'}" in err
    assert is_png(sweep / "sweep.png")


def test_a_prefix_has_its_rate_at_n_from_the_largest_that_shares_its_draws(sweep: Path) -> None:
    """Four draws a query say more of pass@1 than the first of them."""
    finish_sweep(sweep)
    rows = rows_of(sweep)
    assert [row["prefix_of_job"] for row in rows] == [3, 4, 5, None, None, None]
    for small, large in zip(rows[:3], rows[3:], strict=True):
        assert small["pass_at_n"] == large["pass_at_k"][0] == pytest.approx(large["verification_rate"])
        assert small["verification_rate"] == small["first_candidate_rate"]


def test_without_a_sweep_over_n_single_candidates_rank(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """pass@1, which N does not change; names as well as numbers may be swept."""
    points: Any = [({"prompt": "plain"}, 0.2), ({"prompt": "boxed"}, 0.8), ({"prompt": "cot"}, 0.75)]
    folder = sweep_of(tmp_path / "x_sweep", points)
    finish_sweep(folder)
    assert [(row["prompt"], row["best"]) for row in rows_of(folder)] == [
        ("plain", False),
        ("boxed", True),
        ("cot", False),
    ]
    assert "Ranked by pass@1" in capsys.readouterr().out
    assert is_png(folder / "sweep.png")


def test_a_sweep_with_failed_points_shows_what_there_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Also when the first failed: all columns are there. A point that was cut short is shown, and not ranked."""
    points: Any = [({"temperature": t}, rate) for t, rate in (("0.1", None), ("0.4", 0.7), ("0.7", 0.6), ("1", 0.9))]
    folder = sweep_of(tmp_path / "x_sweep", points, statuses={3: "interrupted"})
    assert finish_sweep(folder) == 130
    rows = rows_of(folder)
    assert [row["best"] for row in rows] == [None, True, False, None]
    assert rows[3]["verification_rate"] > 0.8
    out, err = capsys.readouterr()
    assert "0_temperature=0.1: failed: HTTP 401" in err
    assert "interrupted" in out
    assert is_png(folder / "sweep.png")


def test_a_file_that_is_gone_costs_the_ranking_alone(capsys: pytest.CaptureFixture[str], sweep: Path) -> None:
    """The table has what the summaries say."""
    next((sweep / "4_num_candidates=4,temperature=0.6").glob("*.parquet")).write_bytes(b"PAR1")
    assert finish_sweep(sweep) == 0
    assert [row["best"] for row in rows_of(sweep)] == [None] * 6
    assert all(row["verification_rate"] is not None for row in rows_of(sweep))
    assert "not ranked: " in capsys.readouterr().err


@pytest.mark.parametrize("points", [[], [({"temperature": "1"}, None)], [({"temperature": "1"}, 0.5)]])
def test_without_two_finished_points_there_is_no_plot(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, points: Any
) -> None:
    """And nothing fails for it."""
    folder = sweep_of(tmp_path / "x_sweep", points)
    finish_sweep(folder)
    assert not (folder / "sweep.png").exists()
    out, err = capsys.readouterr()
    assert "it takes two finished points" in out
    assert "plot" not in err


def test_points_that_are_the_same_draws_have_no_best(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As where a search tries the same value again; they do share their queries."""
    finish_sweep(sweep_of(tmp_path / "x_sweep", [({"temperature": "0.5"}, 0.7)] * 2))
    assert "No best point is named: all finished points are the same draws." in capsys.readouterr().out


def test_points_that_share_no_query_are_not_ranked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A sweep over data sets has no best point."""
    folder = sweep_of(tmp_path / "x_sweep", [({"dataset": "a"}, 0.7)])
    other = sweep_of(tmp_path / "y_sweep", [({"dataset": "b"}, 0.3)], split="code")
    shutil.move(other / "0_dataset=b", folder / "1_dataset=b")
    record, more = (json.loads((one / "sweep.json").read_text()) for one in (folder, other))
    record["points"].append({**more["points"][0], "number": 1, "folder": "1_dataset=b"})
    (folder / "sweep.json").write_text(json.dumps(record))
    finish_sweep(folder)
    assert "No best point is named: no query is in all finished points." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("swept", "axes"),
    [
        ([{"temperature": "0"}, {"temperature": "1"}], None),
        ([{"num_candidates": n, "temperature": t} for n in "12" for t in "01"], ("num_candidates", "temperature")),
        ([{"temperature": t, "prompt": p} for t in "01" for p in ("cot", "plain")], ("temperature", "prompt")),
        (
            [{"prompt": p, "num_candidates": n, "temperature": t} for p in ("a", "b") for n in "12" for t in "01"],
            ("prompt", "temperature"),
        ),
        ([{"prompt": p, "seed": s, "temperature": t} for p in ("a", "b") for s in "12" for t in "01"], None),
    ],
)
def test_a_heat_map_is_drawn_of_two_parameters(
    tmp_path: Path, swept: list[dict[str, str]], axes: tuple[str, str] | None
) -> None:
    """Numbers or names; of three, the two beside N."""
    folder = sweep_of(tmp_path / "x_sweep", [(one, 0.5) for one in swept], queries=4)
    view = view_of(str(folder))
    assert view is not None
    assert heat_axes(view, view.overall) == axes
    plot_sweep(view, tmp_path / "x.png")
    assert is_png(tmp_path / "x.png")


def test_inspect_shows_the_table_anew(capsys: pytest.CaptureFixture[str], sweep: Path, tmp_path: Path) -> None:
    """From the folder, its record, its table, or a table that lies alone; as JSON with the runs beside."""
    finish_sweep(sweep)
    table, _ = capsys.readouterr()
    for spec in (sweep, sweep / "sweep.json", sweep / "sweep.parquet"):
        code, out, _ = bon(capsys, "inspect", spec)
        assert (code, out) == (0, table)
    alone = shutil.copy(sweep / "sweep.parquet", tmp_path)
    picture = tmp_path / "plot.svg"
    code, out, err = bon(capsys, "inspect", alone, "--plot", picture)
    assert (code, out) == (0, table)
    assert f"drawn: {picture}" in err
    text = picture.read_text()
    assert text.count("<svg") == 1
    code, out, _ = bon(capsys, "inspect", sweep, "--json")
    document = json.loads(out)
    assert len(document["runs"]) == 6
    assert document["sweep"]["ranked_by"] == "pass@N"
    assert [row["job"] for row in document["sweep"]["points"] if row["split"] == "overall"] == list(range(6))


def test_a_table_that_is_none_is_one_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code 2; so is a plot of a single point."""
    write_mixed(tmp_path / "sweep.parquet")
    code, _, err = bon(capsys, "inspect", tmp_path / "sweep.parquet")
    assert (code, err.count("\n")) == (2, 1)
    assert "not a sweep's table" in err
    one = sweep_of(tmp_path / "x_sweep", [({"temperature": "1"}, 0.5)])
    code, _, err = bon(capsys, "inspect", one, "--plot", tmp_path / "x.png")
    assert (code, err) == (2, "--plot: 1 of 1 points finished; it takes two to draw a sweep\n")
    (one / "sweep.json").write_text("{")
    code, _, err = bon(capsys, "inspect", one)
    assert (code, err.count("\n")) == (2, 1)


def test_compare_holds_every_point_against_the_best(capsys: pytest.CaptureFixture[str], sweep: Path) -> None:
    """By what the sweep is ranked by: p-values are those of its table; or against another, by another metric."""
    finish_sweep(sweep)
    capsys.readouterr()
    found = json.loads(bon(capsys, "compare", sweep, "--json")[1])
    rows = rows_of(sweep)
    assert found["best"] == found["against"] == next(row["job"] for row in rows if row["best"])
    assert [one["p_holm"] for one in found["points"]] == [row["p_holm"] for row in rows]
    assert found["points"][5]["compared"]["losses"] > found["points"][5]["compared"]["wins"]
    _, out, _ = bon(capsys, "compare", sweep)
    assert out.count(f"same draws as {found['best']}") == 1
    assert "its lead is likely to be smaller on others" in out
    first = json.loads(bon(capsys, "compare", sweep, "--against", "first", "--metric", "pass@4", "--json")[1])
    assert (first["against"], first["metric"], first["tests"]) == (3, "pass@4", 2)
    assert [one["within"] for one in first["points"]] == [3, 4, 5, None, None, None]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "9"], "no such finished point, wanted one of 0, 1, 2, 3, 4, 5"),
        (["--against", "worst"], "wanted best, first, or the number of a point"),
        (["--metric", "pass@1", "--against", "0"], "within another point's, wanted one of 3, 4, 5"),
        (["--metric", "pass@9"], "has N=4"),
        (["--by", "split"], "the points of a sweep can't"),
    ],
)
def test_what_compare_cannot_do_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], sweep: Path, arguments: list[str], said: str
) -> None:
    """Exit code 2."""
    code, out, err = bon(capsys, "compare", sweep, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_one_run_alone_is_not_compared(capsys: pytest.CaptureFixture[str], sweep: Path) -> None:
    """Nor a sweep of which one point is finished."""
    code, _, err = bon(capsys, "compare", sweep / "5_num_candidates=4,temperature=1.0")
    assert code == 2
    assert "takes a second run to compare" in err
    one = sweep_of(sweep.parent / "y_sweep", [({"temperature": "1"}, 0.5), ({"temperature": "2"}, None)])
    code, _, err = bon(capsys, "compare", one)
    assert (code, err.count("\n")) == (2, 1)
    assert "takes two finished points" in err


def test_the_page_names_points_by_what_was_swept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Points without an end are left out, and said to be; a sweep that has none is refused."""
    points: Any = [({"temperature": "0.2"}, 0.7), ({"temperature": "0.7"}, 0.5), ({"temperature": "1"}, None)]
    folder = sweep_of(tmp_path / "x_sweep", points, queries=5)
    page = tmp_path / "page.html"
    code, _, err = bon(capsys, "report", folder, "-o", page)
    assert (code, err) == (0, f"{folder / '2_temperature=1'}: failed; left out\n")
    assert "<title>temperature=0.2 · temperature=0.7 – Best-of-N</title>" in page.read_text()
    none = sweep_of(tmp_path / "y_sweep", [({"temperature": "1"}, None)])
    code, _, err = bon(capsys, "report", none, "-o", page)
    assert (code, err.count("\n")) == (2, 1)
    assert "no point of this sweep is finished (0_temperature=1 failed)" in err


def test_show_and_export_say_which_points_there_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In their order: 2 before 10."""
    points: Any = [({"seed": str(seed)}, 0.5) for seed in range(11)]
    folder = sweep_of(tmp_path / "x_sweep", points, queries=3)
    names = ", ".join(f"{seed}_seed={seed}" for seed in range(11))
    code, _, err = bon(capsys, "show", folder)
    assert (code, err) == (2, f"{folder}: a sweep, wanted one of its runs: {folder}/NAME, NAME one of {names}\n")
    code, _, err = bon(capsys, "export", folder, "--format", "jsonl", "-o", tmp_path / "out")
    assert code == 0
    assert f"{folder}: a sweep, its points are one pool: {names}" in err


def test_ls_tells_points_that_never_started_from_those_that_were_killed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As the sweep's record has them, also in a folder that had to take another name."""
    points: Any = [({"temperature": t}, rate) for t, rate in (("0.1", 0.5), ("0.4", None), ("0.7", None))]
    sweep_of(tmp_path / "outputs" / "x_sweep-1", points, statuses={1: "killed", 2: "pending"})
    _, out, _ = bon(capsys, "ls", tmp_path / "outputs")
    assert "1 complete, 1 killed, 1 pending" in out
