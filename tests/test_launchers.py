"""A sweep's jobs side by side and on several hosts: nothing shared that cannot be, no limit multiplied in silence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from app import additions, asking, jsonl, parquets, rows_of, run, sum_of
from fake_api import FakeApi, Request
from omegaconf import OmegaConf
from slurm import bwrap, install

from bon_hydra.hosts import gather
from bon_hydra.launch import divided_among
from bon_hydra.saved import load_config
from bon_hydra.schema import Config, ConfigError
from bon_hydra.store import CandidateStore
from bon_hydra.sweeps import Point, start_sweep


def the_sweep(cwd: Path) -> Path:
    (folder,) = {path.parent for path in (cwd / "outputs").glob("*/*/sweep.json")}
    return folder


def test_jobs_on_several_hosts_have_a_store_a_host_and_a_part_of_the_budget_each(tmp_path: Path) -> None:
    """Slurm's launcher: said before it starts, rate limits divided, stores merged at the end, so a second asks none."""
    named_by = bwrap()
    if named_by is None:
        pytest.skip("no process may have another host's name here")
    commands = install(tmp_path / "bin", named_by)
    prices = ["max_tokens=50", "model.prices={input: 2.0, output: 10.0}", "budget_usd=3", "num_candidates=1,2,4"]
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 4), *prices, "model.requests_per_minute=6000")
        done = run(tmp_path, "-m", *arguments, "hydra/launcher=submitit_slurm", PATH=f"{commands}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr + (commands / "slurm.log").read_text()
        sweep = the_sweep(tmp_path)
        record = json.loads((sweep / "sweep.json").read_text())
        assert [point["status"] for point in record["points"]] == ["complete"] * 3
        assert (record["side_by_side"], record["shares"]) == (3, 3)
        # Jobs 0 and 2 share node0's store, job 1 is on node1: 4 x max(1, 4) and 4 x 2.
        assert api.choices == 4 * 4 + 4 * 2
        assert "store of its own" in done.stderr
        assert "budget_usd / 3 = 1 USD" in done.stderr
        assert "divided among the 3 jobs" in done.stderr
        assert "merged into" in done.stderr
        assert not list(sweep.glob("store-of-*"))
        assert len(list(sweep.glob("*/*.parquet"))) == 3
        assert {load_config(path).budget_usd for path in sweep.glob("*/resolved.yaml")} == {1.0}
        again = run(tmp_path, *[part.replace("1,2,4", "4") for part in arguments])
        assert again.returncode == 0, again.stderr
        assert api.choices == 24
    assert all(row["reused"] for row in rows_of(parquets(tmp_path)[-1]))


def test_optuna_searches_on_some_queries_and_its_best_is_held_against_others(tmp_path: Path) -> None:
    """The documented example: points recorded as they are chosen, draws shared, the best named and tried on new ones.

    This model is right at a temperature of 0.9, and its answers cost the same each.
    """

    def warm(request: Request, choice: int) -> str:
        return sum_of(request, choice) if request.body["temperature"] == 0.9 else "It is \\boxed{0}."

    tuned = additions(tmp_path, 3).rename(tmp_path / "tuned.jsonl")
    held = jsonl(tmp_path / "held.jsonl", [{"question": f"What is {i}+2?", "answer": f"#### {i + 2}"} for i in (7, 8)])
    few = ["num_candidates=choice(1,2)", "temperature=choice(0.3,0.9)", "hydra.sweeper.n_trials=5"]
    with FakeApi(reply=warm) as api:
        arguments = asking(api.url, additions(tmp_path, 1), "model.prices={input: 0.1, output: 0.4}")
        arguments = [part for part in arguments if not part.startswith(("dataset.data_files", "dataset.splits"))]
        arguments += ["dataset.name=null", f"dataset.data_files={{train: {tuned}, test: {held}}}"]
        arguments += ["experiment=best_per_dollar", "budget_usd=1"]
        done = run(tmp_path, "-m", *arguments, *few)
        assert done.returncode == 0, done.stderr
        sweep = the_sweep(tmp_path)
        points = json.loads((sweep / "sweep.json").read_text())["points"]
        assert [point["status"] for point in points] == ["complete"] * 5
        best = OmegaConf.load(sweep / "optimization_results.yaml")
        assert best.best_params.temperature == 0.9
        found = {key: str(value) for key, value in best.best_params.items()}
        of_best = next(point for point in points if point["swept"] == found)
        summary = json.loads((sweep / of_best["folder"] / "summary.json").read_text())["overall"]
        assert best.best_value == pytest.approx(3 / summary["cost_usd"])
        largest: dict[str, int] = {}
        for point in points:
            largest[point["swept"]["temperature"]] = max(
                int(point["swept"]["num_candidates"]), largest.get(point["swept"]["temperature"], 0)
            )
        asked = api.choices
        assert asked == 3 * sum(largest.values())
        chosen = [f"{key}={value}" for key, value in found.items()]
        result = run(tmp_path, *arguments, "splits=[test]", *chosen)
        assert result.returncode == 0, result.stderr
        assert api.choices == asked + 2 * int(found["num_candidates"])
    assert [row["split"] for row in rows_of(parquets(tmp_path)[-1])] == ["test"] * 2 * int(found["num_candidates"])


def composed(launcher: str, sweeper: str, **more: Any) -> Any:
    """What of a configuration says how jobs are started."""
    targets = {"launcher": {"_target_": launcher}, "sweeper": {"_target_": sweeper, **more}}
    return OmegaConf.create({"hydra": targets})


def limited(**limits: Any) -> Config:
    config = Config(budget_usd=limits.pop("budget_usd", None))
    for name, value in limits.items():
        setattr(config.model, name, value)
    return config


@pytest.mark.parametrize("limits", [{"requests_per_minute": 60.0}, {"tokens_per_minute": 60.0}])
def test_a_rate_limit_that_cannot_be_divided_is_refused(limits: dict[str, float]) -> None:
    """Jobs at once, and nobody says how many: for this sweeper under any launcher but Hydra's own."""
    unknown = composed("x.RayLauncher", "y.AxSweeper")
    with pytest.raises(ConfigError, match="would be multiplied"):
        divided_among(unknown, [limited(**limits)], None)
    assert divided_among(unknown, [limited()], None) == (1, 1)
    alone = composed("hydra._internal.core_plugins.basic_launcher.BasicLauncher", "y.AxSweeper")
    assert divided_among(alone, [limited(**limits)], None) == (1, 0)
    some = composed("x.RayLauncher", "hydra._internal.core_plugins.basic_sweeper.BasicSweeper")
    assert divided_among(some, [limited(**limits)] * 6, 6) == (6, 6)
    two = composed("x.RayLauncher", "y.OptunaSweeper", n_jobs=2, n_trials=10)
    assert divided_among(two, [limited(**limits)], 10) == (2, 10)


def test_a_budget_that_cannot_be_divided_is_refused() -> None:
    """On hosts that share no account, and of a number of jobs that nobody knows; else each has its part."""
    with pytest.raises(ConfigError, match="cannot be divided"):
        divided_among(composed("x.RayLauncher", "y.AxSweeper", n_jobs=2), [limited(budget_usd=3.0)], None)
    points = [limited(budget_usd=3.0) for _ in range(4)]
    grid = composed("x.SlurmLauncher", "hydra._internal.core_plugins.basic_sweeper.BasicSweeper")
    assert divided_among(grid, points, 4) == (4, 4)
    assert [point.budget_usd for point in points] == [0.75] * 4
    points = [limited(budget_usd=3.0)]
    local = composed("x.LocalLauncher", "hydra._internal.core_plugins.basic_sweeper.BasicSweeper")
    assert divided_among(local, points, 1) == (1, 0)
    assert points[0].budget_usd == 3.0


def test_stores_that_cannot_be_merged_are_kept_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the way on is said; what can be merged later is merged then, and goes."""
    config = Config()
    config.model.name, config.model.base_url, config.dataset.path = "m", "http://x/v1", "demo"
    config.output.store = str(tmp_path / "all.sqlite")
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    start_sweep(sweep, "e", [], [(Point(0, "0_x", {}, [], ""), config)], 1, 1)
    mine = sweep / "store-of-node1.sqlite"
    mine.write_text("no store")
    assert gather(sweep) == 2
    assert "bon resume" in capsys.readouterr().err
    assert mine.exists()
    mine.unlink()
    CandidateStore(mine, "run", "data").close()
    assert gather(sweep) == 0
    assert not list(sweep.glob("store-of-*"))
    assert (tmp_path / "all.sqlite").exists()
    assert gather(sweep) == 0
