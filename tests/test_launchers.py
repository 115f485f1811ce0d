"""A sweep's jobs side by side and on several hosts: nothing shared that cannot be, no limit multiplied in silence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from app import additions, asking, parquets, rows_of, run, sum_of
from fake_api import FakeApi
from slurm import bwrap, install

from bon_hydra.saved import load_config


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
        done = run(
            tmp_path, "-m", *arguments, "hydra/launcher=submitit_slurm", PATH=f"{commands}:{os.environ['PATH']}"
        )
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
