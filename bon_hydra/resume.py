"""Going on with a run or a sweep that ended early, in its own folder and under its own name.

What it has bought is in the store, so this is the same run meeting its own answers; what is checked here is that it
is the same still: its data, its model, its store. Knows run folders; knows nothing of Hydra.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bon_hydra import experiment, sweeps
from bon_hydra.endings import Ended
from bon_hydra.hosts import divided, gather
from bon_hydra.logs import log_to
from bon_hydra.names import is_url, parquet_path, shown_path, store_file
from bon_hydra.plan import refuse_unreachable
from bon_hydra.preflight import Prepared, prepare
from bon_hydra.publishing import publish
from bon_hydra.report.summary import write_summary
from bon_hydra.report.sweep.finish import finish_sweep, record_sweep
from bon_hydra.running import at_work, is_running
from bon_hydra.runs import read_metadata, run_folder, sweep_folder
from bon_hydra.saved import load_config
from bon_hydra.schema import Config, ConfigError
from bon_hydra.store import CandidateStore
from bon_hydra.trust import refuse_moved


def resume(spec: str, overrides: Sequence[str] = ()) -> int:
    """Runs what is missing of the run or sweep that `spec` stands for; returns the exit code of how it ended.

    `overrides`: a `budget_usd=…` in place of its own, and nothing else.

    Raises:
        ConfigError: there is no such run, it is running, or it would not be the same run any more.
    """
    if sweep := sweep_folder(spec):
        return _resume_sweep(sweep, overrides)
    folder = run_folder(spec)
    sweep_record = sweeps.read_sweep(folder.parent)
    if sweep_record is None:
        return _resume_run(folder, overrides).exit_code
    if overrides:
        raise ConfigError(
            f"{overrides[0]}: {shown_path(folder)} is part of a sweep, whose budget it shares: "
            f"bon resume {shown_path(folder.parent)} {overrides[0]}"
        )
    point = next(point for point in sweep_record.points if point.folder == folder.name)
    with at_work(folder.parent):
        _gathered(folder.parent)
        how = sweeps.run_in(folder, point.number, lambda: _resume_run(folder, (), sweep_record, point))
        record_sweep(folder.parent)
    return how.exit_code


def _resume_sweep(folder: Path, overrides: Sequence[str]) -> int:
    """Does what is missing of each point, one after the other; what is complete is not touched."""
    with at_work(folder):
        sweep = sweeps.read_sweep(folder)
        assert sweep is not None
        _gathered(folder)
        for point in sweep.points:
            if point.status == "complete":
                continue
            job = folder / point.folder
            how = sweeps.run_in(job, point.number, partial(_resume_run, job, overrides, sweep, point))
            if how.exit_code == 130:
                break
        return finish_sweep(folder)


def _gathered(sweep: Path) -> None:
    """What other hosts have bought is in the store, before anything is asked again."""
    if gather(sweep):
        raise ConfigError(f"{shown_path(sweep)}: nothing is asked before those stores are merged")


def _resume_run(
    folder: Path, overrides: Sequence[str], sweep: sweeps.Sweep | None = None, point: sweeps.Point | None = None
) -> Ended:
    """The run of a folder, from where it is."""
    if is_running(folder):
        raise ConfigError(f"{shown_path(folder)}: this run is running; wait for it, or stop it with Ctrl-C")
    config = _with_budget(load_config(folder / "resolved.yaml"), overrides)
    if sweep is not None and sweep.shares and overrides:
        divided(config, sweep.shares)
    refuse_moved(config, folder)
    if point is not None and not (folder / "summary.json").exists():  # it was frozen, and has not started
        origin = experiment.Origin(tuple(point.overrides), point.config_file)
        prepared = prepare(config)
    else:
        status, saved = _saved(folder)
        parquet = parquet_path(config, folder)
        if status == "complete" and parquet.exists():
            if is_url(config.output.dir):  # what could not be put there then
                print(f"published at {publish(folder, saved['run_id'], config.output.dir)}", file=sys.stderr)
            print(f"{shown_path(folder)}: complete already, nothing to do", file=sys.stderr)
            return Ended(0, "complete")
        written = read_metadata(parquet) if parquet.exists() else {}
        if written and written.get("run_id") != saved["run_id"]:
            raise ConfigError(f"output.file: {parquet} holds another run by now; move it away, then resume")
        if written.get("status") == "complete" and not store_file(config, folder).exists():
            # Killed when its private store had gone already and its summary had not come yet.
            write_summary(experiment.linked(parquet, folder), "complete")
            print(f"{shown_path(folder)}: complete already, nothing to do", file=sys.stderr)
            return Ended(0, "complete")
        prepared = prepare(config, own_file=True)
        origin = experiment.Origin(
            tuple(json.loads(saved.get("overrides") or "[]")),
            saved.get("config_file", ""),
            datetime.fromisoformat(saved["started_at"]),
            saved["run_id"],
            float(json.loads(saved.get("totals") or "{}").get("seconds") or 0),
        )
        _check_same(prepared, folder, saved, parquet.exists())
    if sweep is not None:
        origin = replace(origin, account="" if sweep.shares else sweep.sweep_id, sweep=sweep.sweep_id)
    _check_budget(prepared.config, folder, origin)
    refuse_unreachable(prepared)
    log_to(folder)
    ending = experiment.run(prepared, folder, origin)
    return Ended(ending.exit_code, ending.status, ending.message)


def _saved(folder: Path) -> tuple[str, dict[str, str]]:
    """How the run ended last, and the metadata it was started with."""
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        metadata = summary["metadata"]
        _ = metadata["run_id"], metadata["started_at"]
        return str(summary["status"]), metadata
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{shown_path(folder)}: cannot be resumed: its summary.json does not say which run it is ({error}). "
            f"A new run from its configuration: bon rerun {shown_path(folder)}"
        ) from error


def _with_budget(config: Config, overrides: Sequence[str]) -> Config:
    for override in overrides:
        key, given, value = override.partition("=")
        if key != "budget_usd" or not given:
            raise ConfigError(
                f"{override}: a run is gone on with as it is, and only budget_usd=… may be new. "
                "With other changes it is another run: bon rerun RUN key=value"
            )
        try:
            budget = OmegaConf.create(f"budget_usd: {value}").budget_usd
            config.budget_usd = None if budget is None else float(budget)
        except (OmegaConfBaseException, ValueError, TypeError, AttributeError):
            config.budget_usd = -1
        if config.budget_usd is not None and not 0 < config.budget_usd < float("inf"):
            raise ConfigError(f"budget_usd: got {value}, wanted USD, more than 0, or null for none")
        if config.budget_usd is not None and config.max_tokens is None:
            raise ConfigError("budget_usd: cannot be kept with max_tokens=null, since an answer may then cost anything")
    return config


def _check_same(prepared: Prepared, folder: Path, saved: dict[str, str], has_rows: bool) -> None:
    config, shown = prepared.config, shown_path(folder)
    for name, now, key in (
        ("data", prepared.source.revision, "dataset"),
        ("model", prepared.identity, "model"),
    ):
        before = saved.get({"data": "dataset_revision", "model": "identity"}[name], now)
        if before != now:
            raise ConfigError(
                f"{key}: the {name} of {shown} changed since it began (then {before}, now {now}), so it cannot be gone "
                f"on with. Bring the old {name} back, or start a new run: bon rerun {shown}"
            )
    store = store_file(config, folder)
    if has_rows and not store.exists():
        raise ConfigError(
            f"output.store: {store} is not there, and what {shown} has bought would be asked and paid again. "
            f"Bring the file back, or start a new run: bon rerun {shown}"
        )


def _check_budget(config: Config, folder: Path, origin: experiment.Origin) -> None:
    store = store_file(config, folder)
    if config.budget_usd is None or not store.exists():
        return
    with CandidateStore(store) as opened:
        spent = asyncio.run(opened.spent(origin.account or origin.run_id))
    if spent > config.budget_usd:
        raise ConfigError(
            f"budget_usd: got {config.budget_usd:g}, and {shown_path(folder)} has spent {spent:.4g} already; name more"
        )
