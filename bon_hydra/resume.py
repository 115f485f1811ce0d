"""Going on with a run that ended early, in its own folder and under its own name.

What it has bought is in the store, so this is the same run meeting its own answers; what is checked here is that it
is the same still: its data, its model, its store. Knows run folders; knows nothing of Hydra.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bon_hydra import experiment
from bon_hydra.logs import log_to
from bon_hydra.names import parquet_path, shown_path, store_file
from bon_hydra.plan import refuse_unreachable
from bon_hydra.preflight import Prepared, prepare
from bon_hydra.report.summary import write_summary
from bon_hydra.running import is_running
from bon_hydra.runs import read_metadata, run_folder
from bon_hydra.saved import load_config
from bon_hydra.schema import Config, ConfigError
from bon_hydra.store import CandidateStore


def resume(spec: str, overrides: Sequence[str] = ()) -> int:
    """Runs what is missing of the run that `spec` stands for; returns the exit code of how it ended.

    `overrides`: a `budget_usd=…` in place of the run's own, and nothing else.

    Raises:
        ConfigError: there is no such run, it is running, or it would not be the same run any more.
    """
    folder = run_folder(spec)
    if is_running(folder):
        raise ConfigError(f"{shown_path(folder)}: this run is running; wait for it, or stop it with Ctrl-C")
    status, saved = _saved(folder)
    config = _with_budget(load_config(folder / "resolved.yaml"), overrides)
    parquet = parquet_path(config, folder)
    if status == "complete" and parquet.exists():
        print(f"{shown_path(folder)}: complete already, nothing to do", file=sys.stderr)
        return 0
    written = read_metadata(parquet) if parquet.exists() else {}
    if written and written.get("run_id") != saved["run_id"]:
        raise ConfigError(f"output.file: {parquet} holds another run by now; move it away, then resume")
    if written.get("status") == "complete" and not store_file(config, folder).exists():
        # Killed when its private store had gone already and its summary had not come yet.
        write_summary(experiment.linked(parquet, folder), "complete")
        print(f"{shown_path(folder)}: complete already, nothing to do", file=sys.stderr)
        return 0
    prepared = prepare(config, own_file=True)
    _check_same(prepared, folder, saved, parquet.exists())
    refuse_unreachable(prepared)
    log_to(folder)
    origin = experiment.Origin(
        tuple(json.loads(saved.get("overrides") or "[]")),
        saved.get("config_file", ""),
        datetime.fromisoformat(saved["started_at"]),
        saved["run_id"],
        float(json.loads(saved.get("totals") or "{}").get("seconds") or 0),
    )
    return experiment.run(prepared, folder, origin)


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
    if not store.exists():
        if has_rows:
            raise ConfigError(
                f"output.store: {store} is not there, and what {shown} has bought would be asked and paid again. "
                f"Bring the file back, or start a new run: bon rerun {shown}"
            )
        return
    if config.budget_usd is not None:
        with CandidateStore(store) as opened:
            spent = asyncio.run(opened.spent(saved["run_id"]))
        if spent > config.budget_usd:
            raise ConfigError(
                f"budget_usd: got {config.budget_usd:g}, and {shown} has spent {spent:.4g} already; name more"
            )
