"""Runs in MLflow, by its real server, and in Weights & Biases, by what it writes offline; and trackers that fail."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from app import SECRET, additions, asking, parquets, run, sum_of
from fake_api import FakeApi

from bon_hydra import preflight
from bon_hydra.checks import _check_trackers
from bon_hydra.saved import resolved_yaml
from bon_hydra.saved_run import SavedRun
from bon_hydra.schema import Config, ConfigError, DatasetConfig, ModelConfig, OutputConfig
from bon_hydra.trackers import client, installed, process, tracked
from bon_hydra.trackers.client import without_login
from bon_hydra.trust import refuse_moved, taken_over

BLOCK = 32_768
"""W&B writes its records as LevelDB does: in blocks of so many bytes, and none begins in the last 6 of one."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of MLflow's tracking server."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("mlflow_server.py")),
        str(tmp_path / "mlflow"),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as serving:
        assert serving.stdout
        yield f"http://127.0.0.1:{serving.stdout.readline().strip()}"


def told_by(server: str, path: str, **asked: Any) -> Any:
    """What the server's REST API answers."""
    body = json.dumps(asked).encode() if asked else None
    request = Request(f"{server}/api/2.0/{path}", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def pairs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


def wandb_records(folder: Path) -> list[tuple[str, Any]]:
    """Kind and content of each record of the offline runs below a folder, oldest first."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    found: list[tuple[str, Any]] = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        data, at, whole = path.read_bytes(), 7, b""
        while at + 7 <= len(data):
            if (left := BLOCK - at % BLOCK) < 7:
                at += left
                continue
            size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
            whole += data[at + 7 : at + 7 + size]
            at += 7 + size
            if kind in (1, 4):  # a whole one, or the last part of one
                record = Record()
                record.ParseFromString(whole)
                name = record.WhichOneof("record_type")
                found.append((name, getattr(record, name)))
                whole = b""
    return found


def values(items: Any) -> dict[str, Any]:
    return {item.key: json.loads(item.value_json) for item in items if item.key}


def test_a_sweeps_run_of_two_sittings_is_one_run_in_either_tracker(server: str, tmp_path: Path) -> None:
    """It ran out of budget and was gone on with. Neither tracker keeps the model's key."""
    env = {"MLFLOW_TRACKING_URI": server, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    prices = ["model.prices.input=1", "model.prices.output=1", "max_tokens=50"]
    named = ["experiment_name=added", "notes='What: a test'", "output.trackers=[mlflow,wandb]"]
    with FakeApi(reply=sum_of) as api:
        asked = asking(api.url, additions(tmp_path), *prices, *named, "num_candidates=2", "budget_usd=0.0005")
        first = run(tmp_path, "-m", *asked, "temperature=0.7", **env)
        assert first.returncode == 3, first.stderr
        again = run(tmp_path, "resume", "outputs/latest", "budget_usd=1", module="bon_hydra.cli", **env)
        assert again.returncode == 0, again.stderr
    for said in (first.stderr, again.stderr):
        assert f"mlflow: {server}/#/experiments/" in said
        assert "wandb sync uploads it" in said
    parquet = next(path for path in parquets(tmp_path) if path.name != "sweep.parquet")
    sweep = json.loads((parquet.parent.parent / "sweep.json").read_text())["sweep_id"]
    mlflow_has_it(server, parquet, sweep)
    wandb_has_it(tmp_path, parquet, sweep)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


def mlflow_has_it(server: str, parquet: Path, sweep: str) -> None:
    """Under the experiment's name: configuration, figures, a curve over k, the file."""
    found = told_by(server, "mlflow/experiments/get-by-name?experiment_name=added")["experiment"]
    (one,) = told_by(server, "mlflow/runs/search", experiment_ids=[found["experiment_id"]])["runs"]
    assert (one["info"]["status"], one["info"]["run_name"]) == ("FINISHED", parquet.parent.name)
    tags, params, metrics = (pairs(one["data"][kind]) for kind in ("tags", "params", "metrics"))
    assert (tags["sweep"], tags["status"], tags["model"]) == (sweep, "complete", "fake-model")
    assert (tags["dataset"], tags["mlflow.note.content"]) == ("additions.jsonl", "What: a test")
    assert (params["num_candidates"], params["dataset.format"], params["seed"]) == ("2", "gsm8k", "null")
    assert (metrics["verification_rate"], metrics["candidates"], metrics["pass_at_2"]) == (1.0, 12, 1.0)
    history = told_by(server, f"mlflow/metrics/get-history?run_id={one['info']['run_id']}&metric_key=pass_at_k")
    assert [(point.get("step"), point["value"]) for point in history["metrics"]] == [(1, 1.0), (2, 1.0)]
    path = f"{found['experiment_id']}/{one['info']['run_id']}/artifacts/{parquet.name}"
    with urlopen(f"{server}/api/2.0/mlflow-artifacts/artifacts/{path}", timeout=60) as kept:
        assert kept.read() == parquet.read_bytes()


def wandb_has_it(folder: Path, parquet: Path, sweep: str) -> None:
    """In the sweep's group; its first sitting ended early."""
    records = wandb_records(folder)
    begun = [content for kind, content in records if kind == "run"]
    assert (len(begun), len({content.run_id for content in begun})) == (2, 1)
    assert (begun[0].project, begun[0].run_group, begun[0].notes) == ("added", sweep, "What: a test")
    assert list(begun[0].tags) == ["added", "fake-model", "additions.jsonl"]
    assert values(begun[0].config.update)["num_candidates"] == 2
    assert [content.exit_code for kind, content in records if kind == "exit"] == [3, 0]
    summaries = [values(content.update) for kind, content in records if kind == "summary"]
    early, whole = [summary for summary in summaries if "status" in summary]
    assert (early["status"], whole["status"]) == ("budget_reached", "complete")
    assert 0 < early["candidates"] <= whole["candidates"] == 12
    points = [{i.nested_key[0]: i.value_json for i in content.item} for kind, content in records if kind == "history"]
    assert [(point["k"], point["pass_at_k"]) for point in points] == [("1", "1"), ("2", "1")]
    files = [entry.path for kind, content in records if kind == "artifact" for entry in content.manifest.contents]
    assert files.count(parquet.name) == 2


def test_an_address_is_shown_without_what_one_logs_in_with() -> None:
    """As an error or MLFLOW_TRACKING_URI may have it."""
    assert without_login("nobody answers at https://me:secret@host/x") == "nobody answers at https://host/x"


@pytest.fixture
def begun(tmp_path: Path) -> Config:
    """A run's folder as it is at its start, and its configuration."""
    config = Config(
        dataset=DatasetConfig(path="demo"),
        model=ModelConfig(name="m", base_url="embedded"),
        output=OutputConfig(dir=str(tmp_path), trackers=["mlflow"]),
    )
    (tmp_path / "resolved.yaml").write_text(resolved_yaml(config), encoding="utf-8")
    metadata = {"run_id": "1", "experiment": "e", "started_at": "2026-11-30T00:00:00+00:00", "model": "m"}
    metadata |= dict.fromkeys(("dataset", "dataset_revision", "splits", "identity"), "x")
    metadata |= dict.fromkeys(("git_commit", "bon_hydra_version"), "x")
    (tmp_path / "summary.json").write_text(json.dumps({"status": "running", "metadata": metadata}), encoding="utf-8")
    return config


def test_a_server_that_is_not_there_is_told_in_one_line(
    begun: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else happens."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with tracked(begun, tmp_path, "") as tell:
            tell("complete", 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: output.trackers: mlflow: nobody answers at http://127.0.0.1:")


def test_a_tracker_that_does_not_end_is_left_behind(
    begun: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is gone then."""
    monkeypatch.setattr(process, "PATIENCE_S", 0.0)
    with tracked(begun, tmp_path, "") as tell:
        tell("complete", 0)
    assert "warning: output.trackers: mlflow: no answer within 0 s" in capsys.readouterr().err


def test_a_package_that_is_missing_is_said_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it; a folder of its name, as W&B leaves one, is no package."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "some_tracker").mkdir()
    assert not installed("some_tracker")
    assert installed("mlflow")
    monkeypatch.setattr(preflight, "installed", lambda _: False)
    with pytest.raises(ConfigError, match=r"wandb .* pip install 'bon_hydra\[wandb\]'"):
        preflight._check_trackers(["wandb"])


def test_a_run_from_elsewhere_does_not_write_into_ones_own_accounts(begun: Config, tmp_path: Path) -> None:
    """Unless one says so; a run that lies where it was made keeps its trackers."""
    theirs = SavedRun(tmp_path / "theirs.parquet", begun, {}, (), None)
    config, told = taken_over(theirs, [])
    assert config.output.trackers == []
    assert any(line.startswith("output.trackers: not taken over") for line in told)
    assert not any("trackers" in line for line in taken_over(theirs, ["output.trackers"])[1])
    assert taken_over(replace(theirs, home=tmp_path), [])[0].output.trackers == ["mlflow"]
    with pytest.raises(ConfigError, match=r"it would write into your accounts \(mlflow\)"):
        refuse_moved(replace(begun, output=replace(begun.output, store=None, dir="/elsewhere")), tmp_path)


def test_trackers_are_known_by_name_and_each_is_named_once() -> None:
    """The nearest known name is offered."""
    with pytest.raises(ConfigError, match=r"output\.trackers: got 'mlfow'.*did you mean mlflow"):
        _check_trackers(["mlfow"])
    with pytest.raises(ConfigError, match="each once"):
        _check_trackers(["wandb", "wandb"])


def test_a_long_error_of_a_client_is_cut_and_seen_to_be() -> None:
    """MLflow's may go on for lines."""
    assert client._in_one_line(ValueError("no such place.\nTry another")) == "no such place"
    cut = client._in_one_line(ValueError("a word " * 100))
    assert (len(cut), cut[-1]) == (client.LONGEST, "…")
