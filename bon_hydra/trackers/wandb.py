"""Weights & Biases, by its public client. Who logs in where is its own affair: WANDB_MODE, WANDB_PROJECT, WANDB_DIR."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import wandb

from bon_hydra.names import safe
from bon_hydra.trackers.record import Outcome, TrackedRun

LONGEST_TAG = 64


class WandbRun:
    """A run in W&B."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._there: Any = None

    def running(self) -> None:
        """Begins the run, or goes on with the one of that id."""
        run = self._run
        self._there = wandb.init(
            id=run.run_id,
            resume="allow",
            project=os.environ.get("WANDB_PROJECT") or safe(run.experiment),
            name=run.name,
            group=run.sweep or None,
            notes=run.notes or None,
            tags=[run.tags[name][:LONGEST_TAG] for name in ("experiment", "model", "dataset") if run.tags.get(name)],
            config={**run.config, "bon_hydra": run.tags},
            allow_val_change=True,
            # Of this process there is nothing to know: neither its output nor its load, nor where it was started.
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, x_disable_stats=True, x_disable_meta=True, init_timeout=30
            ),
        )

    def ended(self, outcome: Outcome) -> str:
        """Figures as the run's summary, curves over k, files as an artifact."""
        if self._there is None:
            self.running()
        run = self._there
        for name in outcome.curves:
            run.define_metric(name, step_metric="k")
        for k in sorted({k for points in outcome.curves.values() for k in points}):
            run.log({"k": k, **{name: points[k] for name, points in outcome.curves.items() if k in points}})
        run.summary.update({**outcome.figures, "status": outcome.status})
        if outcome.files:
            artifact = wandb.Artifact(f"run-{self._run.run_id}", "candidates")
            for file in outcome.files:
                artifact.add_file(str(file), policy="immutable")  # read where it lies, not copied into a cache before
            run.log_artifact(artifact)
        run.finish(exit_code=outcome.exit_code)
        return str(run.url or f"kept in {Path(run.dir).parent}; wandb sync uploads it")

    def killed(self) -> None:
        """As any run that ends with an error."""
        if self._there is not None:
            self._there.summary.update({"status": "killed"})
            self._there.finish(exit_code=1)


tracker = WandbRun
