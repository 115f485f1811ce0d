"""Sweeps: frozen before they start, recorded as they go, each candidate asked for once, gone on with when cut short."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from app import additions, asking, metadata_of, parquets, rows_of, run, start, sum_of
from bon_command import apart as bon
from fake_api import FakeApi, Request


def the_sweep(cwd: Path) -> Path:
    """The folder of the one sweep there is."""
    (folder,) = {path.parent for path in (cwd / "outputs").glob("*/*/sweep.json")}
    return folder


def record(cwd: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((the_sweep(cwd) / "sweep.json").read_text())
    return read


def runs(cwd: Path) -> list[Path]:
    return sorted(path for path in parquets(cwd) if path.name != "sweep.parquet")


def statuses(cwd: Path) -> list[str]:
    return [point["status"] for point in record(cwd)["points"]]


def table(cwd: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(the_sweep(cwd) / "sweep.parquet").to_pylist()
    return rows


def test_a_sweep_asks_for_its_largest_n_and_leaves_a_record_and_a_table(tmp_path: Path) -> None:
    """Folders named by number and what was swept; one row a job and split; the table says which are prefixes."""
    with FakeApi(reply=sum_of) as api:
        done = run(tmp_path, "-m", *asking(api.url, additions(tmp_path, 3), "num_candidates=1,4", "temperature=0.3,1"))
        assert done.returncode == 0, done.stderr
        assert api.choices == 3 * 4 * 2
        again = run(tmp_path, "-m", *asking(api.url, additions(tmp_path, 3), "num_candidates=2", "temperature=0.3,1"))
        assert (again.returncode, api.choices) == (0, 24), again.stderr
    folder = min(path.parent for path in (tmp_path / "outputs").glob("*/*/sweep.json"))
    sweep = json.loads((folder / "sweep.json").read_text())
    assert [point["folder"] for point in sweep["points"]] == [
        "0_num_candidates=1,temperature=0.3",
        "1_num_candidates=1,temperature=1",
        "2_num_candidates=4,temperature=0.3",
        "3_num_candidates=4,temperature=1",
    ]
    assert [point["swept"] for point in sweep["points"]][1] == {"num_candidates": "1", "temperature": "1"}
    assert (sweep["status"], {point["exit_code"] for point in sweep["points"]}) == ("complete", {0})
    rows = pq.read_table(folder / "sweep.parquet").to_pylist()
    assert [(row["job"], row["split"]) for row in rows] == [(i, s) for i in range(4) for s in ("overall", "train")]
    assert [row["prefix_of_job"] for row in rows[::2]] == [2, 3, None, None]
    assert rows[4]["pass_at_k"] == [1.0] * 4
    assert "by pass@N" in done.stdout
    assert "sweep       4 points: 24 candidates (30 if no two points shared any); 0 are in the store" in done.stderr
    assert "sweep       2 points: 12 candidates; 12 are in the store, 0 to ask for" in again.stderr
    assert f"plot: {folder.relative_to(tmp_path)}/sweep.png" in done.stderr


def test_what_is_edited_in_mid_sweep_changes_no_later_job(tmp_path: Path) -> None:
    """Not the experiment's YAML, not a broken one: every point was saved, and the record lists it, before the first."""
    conf = tmp_path / "conf" / "experiment"
    conf.mkdir(parents=True)
    text = "# @package _global_\nexperiment_name: mine\ntop_p: 0.5\n"
    (conf / "mine.yaml").write_text(text)
    seen: list[list[str]] = []

    def edited(request: Request, _: int) -> str:
        if not seen:
            seen.append(statuses(tmp_path))
            seen.append(sorted(path.parent.name for path in the_sweep(tmp_path).glob("*/resolved.yaml")))
            (conf / "mine.yaml").write_text("top_p: [this is no YAML")
        return sum_of(request)

    with FakeApi(reply=edited) as api:
        arguments = asking(api.url, additions(tmp_path, 2), "experiment=mine", "temperature=0.1,0.2,0.3")
        done = run(tmp_path, "--config-dir", str(conf.parent), "-m", *arguments, "num_candidates=1")
        assert done.returncode == 0, done.stderr
        assert {request.body["top_p"] for request in api.requests} == {0.5}
    assert seen[0] == ["running", "pending", "pending"]
    assert seen[1] == ["0_temperature=0.1", "1_temperature=0.2", "2_temperature=0.3"]
    assert the_sweep(tmp_path).name.endswith("_mine_sweep")


def test_a_file_of_ones_own_may_say_that_it_is_a_sweep(tmp_path: Path) -> None:
    """By Hydra's own `hydra.mode`, without -m; its points are planned and recorded as any others."""
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params: {temperature: '0.1,0.2'}\n"
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(text)
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 2), "experiment=mine", "num_candidates=1")
        done = run(tmp_path, "--config-dir", "conf", *arguments)
    assert done.returncode == 0, done.stderr
    assert [request.body["temperature"] for request in api.requests] == [0.1, 0.1, 0.2, 0.2]
    assert "2 points: 4 candidates" in done.stderr
    assert statuses(tmp_path) == ["complete", "complete"]
    assert [point["swept"] for point in record(tmp_path)["points"]] == [{"temperature": "0.1"}, {"temperature": "0.2"}]


def refusing(temperature: float) -> Any:
    return lambda request: "unauthorized" if request.body["temperature"] == temperature else None


def test_a_failed_job_stops_no_other_and_can_be_gone_on_with(tmp_path: Path) -> None:
    """All failures are named at the end, exit 1; `bon resume` does what is missing and touches nothing else."""
    with FakeApi(reply=sum_of, faults=refusing(0.2)) as api:
        arguments = asking(api.url, additions(tmp_path, 2), "temperature=0.1,0.2,0.3", "num_candidates=2")
        done = run(tmp_path, "-m", *arguments)
        assert done.returncode == 1, done.stderr
        assert statuses(tmp_path) == ["complete", "failed", "complete"]
        assert "1_temperature=0.2: failed: HTTP 401" in done.stderr
        assert "bon resume outputs/" in done.stderr
        assert {row["job"]: row["status"] for row in table(tmp_path)} == {0: "complete", 1: "failed", 2: "complete"}
        before = {path: path.stat().st_mtime_ns for path in runs(tmp_path)}
        api._faults, asked = (), api.choices
        resumed = bon(tmp_path, "resume", str(the_sweep(tmp_path)))
        assert resumed.returncode == 0, resumed.stderr
        assert api.choices == asked + 4
    assert (record(tmp_path)["status"], statuses(tmp_path)) == ("complete", ["complete"] * 3)
    assert sum(path.stat().st_mtime_ns == before.get(path) for path in runs(tmp_path)) == 2
    assert all(len(rows_of(path)) == 4 for path in runs(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_was_stopped_goes_on_where_it_was(tmp_path: Path, number: int) -> None:
    """Ctrl-C writes its record and says how to go on; SIGKILL leaves it; nothing finished is asked or run again."""
    with FakeApi(reply=sum_of, latency=0.05) as api:
        arguments = asking(api.url, additions(tmp_path, 20), "temperature=0.1,0.2,0.3", "num_candidates=2")
        process = start(tmp_path, "-m", *arguments, "concurrency=4")
        while api.choices < 55:
            assert process.poll() is None, process.communicate()
        os.kill(process.pid, number)
        _, told = process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert process.returncode == 130, told
            assert "bon resume" in told
            assert (record(tmp_path)["status"], statuses(tmp_path)[0]) == ("interrupted", "complete")
            assert len({row["job"] for row in table(tmp_path)}) == 3
        first = runs(tmp_path)[0]
        before = first.stat().st_mtime_ns
        resumed = bon(tmp_path, "resume", str(the_sweep(tmp_path)))
        assert resumed.returncode == 0, resumed.stderr
        assert api.choices <= 120 + (4 if number == signal.SIGKILL else 0)
    assert first.stat().st_mtime_ns == before
    assert [len(rows_of(path)) for path in runs(tmp_path)] == [40] * 3
    assert not any(row["reused"] for path in runs(tmp_path) for row in rows_of(path))
    assert statuses(tmp_path) == ["complete"] * 3
    assert {metadata_of(path)["config_yaml"] for path in runs(tmp_path)} == {
        (path.parent / "resolved.yaml").read_text() for path in runs(tmp_path)
    }


def test_a_sweep_that_runs_is_not_gone_on_with(tmp_path: Path) -> None:
    """Exit 2, and it is undisturbed."""
    with FakeApi(reply=sum_of, faults=lambda request: "hanging" if request.order > 2 else None) as api:
        arguments = asking(api.url, additions(tmp_path, 10), "temperature=0.1,0.2", "num_candidates=1")
        process = start(tmp_path, "-m", *arguments, "concurrency=1")
        while api.choices < 2:
            assert process.poll() is None, process.communicate()
        refused = bon(tmp_path, "resume", str(the_sweep(tmp_path)))
        assert (refused.returncode, "running" in refused.stderr) == (2, True), refused.stderr
        process.kill()
        process.communicate()


def test_one_budget_caps_the_whole_sweep(tmp_path: Path) -> None:
    """What its jobs spend together; a raised one goes on to the end."""
    with FakeApi(reply=sum_of, latency=0.005) as api:
        more = ["max_tokens=20", "model.prices={input: 2.0, output: 10.0}", "budget_usd=0.02", "temperature=0.1,0.2"]
        done = run(
            tmp_path, "-m", *asking(api.url, additions(tmp_path, 150), *more, "num_candidates=2", "max_queries=null")
        )
        assert done.returncode == 3, done.stderr
        spent = sum(row["cost_usd"] for path in runs(tmp_path) for row in rows_of(path))
        assert 0.015 < spent <= 0.02
        assert statuses(tmp_path) == ["complete", "budget_reached"] or statuses(tmp_path) == ["budget_reached"] * 2
        resumed = bon(tmp_path, "resume", str(the_sweep(tmp_path)), "budget_usd=1")
        assert resumed.returncode == 0, resumed.stderr
        assert api.choices == 600


def test_a_plan_counts_what_points_share_once(tmp_path: Path) -> None:
    """Also where one reads more queries than another; the budget is for all of them, and no folder is made."""
    more = ["max_tokens=20", "model.prices={input: 2.0, output: 10.0}", "budget_usd=3", "num_candidates=1,4"]
    with FakeApi(reply=sum_of) as api:
        first = asking(api.url, additions(tmp_path, 20), "max_tokens=20", "max_queries=2")
        assert run(tmp_path, *first).returncode == 0
        done = run(tmp_path, "-m", *asking(api.url, additions(tmp_path, 20), *more, "max_queries=5,10"), "dry_run=true")
        assert (done.returncode, api.choices) == (0, 8), done.stderr
    sweep = done.stdout.split("\n\n")[-1]
    assert "4 points: 40 candidates (75 if no two points shared any); 8 are in the store, 32 to ask for" in sweep
    assert "32 to 640 completion" in sweep
    assert "budget 3 USD for the sweep as a whole" in sweep
    assert len(list(tmp_path.glob("outputs/2*/*"))) == 1


def test_a_private_store_is_the_sweeps_and_goes_with_its_end(tmp_path: Path) -> None:
    """output.store=null: the jobs share one all the same."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 3), "num_candidates=1,2", "output.store=null")
        assert run(tmp_path, "-m", *arguments).returncode == 0
        assert api.choices == 6
    assert not list(tmp_path.rglob("store.sqlite*"))


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_side_by_side_share_draws_folder_and_rate_limit(tmp_path: Path, launcher: str) -> None:
    """Each candidate is asked for once; the record knows of both; a limit a minute is divided among them."""
    with FakeApi(reply=sum_of, latency=0.02) as api:
        arguments = asking(api.url, additions(tmp_path, 10), "num_candidates=2,4", "model.requests_per_minute=6000")
        jobs = "hydra.launcher.n_jobs=2" if launcher == "joblib" else "hydra.launcher.timeout_min=5"
        done = run(tmp_path, "-m", *arguments, f"hydra/launcher={launcher}", jobs)
        assert done.returncode == 0, done.stderr
        assert api.choices == 40
    assert record(tmp_path)["side_by_side"] == 2
    assert statuses(tmp_path) == ["complete"] * 2
    assert len({path.parent for path in runs(tmp_path)}) == 2


def test_a_sweep_over_experiments_is_mixed(tmp_path: Path) -> None:
    """It names the folder; each job keeps its experiment's name."""
    demo = Path(__file__).parent.parent / "bon_hydra" / "queries" / "demo"
    with FakeApi(reply="\\boxed{1}", models=["served"]) as api:
        model = ["model=openai-compatible", f"model.base_url={api.url}", f"dataset.path={demo}"]
        sweep = ["experiment=math_focused,baseline", "max_queries=1", "num_candidates=1", "splits=[math]"]
        done = run(tmp_path, "-m", *model, *sweep, OPENAI_API_KEY="sk-x")
        assert done.returncode == 0, done.stderr
    assert the_sweep(tmp_path).name.endswith("_mixed_sweep")
    assert {metadata_of(path)["experiment"] for path in runs(tmp_path)} == {"math_focused", "baseline"}
