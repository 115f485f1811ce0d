"""MLflow, by its public client. Where it writes is MLflow's own affair: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from bon_hydra.names import dotted
from bon_hydra.trackers.record import Outcome, TrackedRun

RUN_ID = "bon_hydra.run_id"
"""The tag that a run is found by again."""
LONGEST = {"param": 6000, "tag": 5000}
"""Characters of a value, as MLflow's servers take them."""
AT_ONCE = 100
"""Parameters in one request."""
STATUS = {"complete": "FINISHED", "failed": "FAILED"}
"""Whatever else ended early and can be resumed is KILLED."""


class MlflowRun:
    """A run in MLflow."""

    def __init__(self, run: TrackedRun) -> None:
        # A server that does not answer is told of soon; it is tried again when the run has ended.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._run = run
        self._client = MlflowClient()
        self._experiment_id = self._id = ""

    def running(self) -> None:
        """Makes the run, or finds that of an earlier sitting, whose parameters MLflow lets nobody change."""
        run = self._run
        self._experiment_id = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.experiment)
        found = self._client.search_runs([self._experiment_id], f"tags.`{RUN_ID}` = '{run.run_id}'")
        there = found[0] if found else self._made()
        self._id = there.info.run_id
        self._client.update_run(self._id, status="RUNNING")
        params = [Param(_key(name), _value(value)) for name, value in dotted(run.config)]
        new = [param for param in params if param.key not in there.data.params]
        for at in range(0, len(new), AT_ONCE):
            self._client.log_batch(self._id, params=new[at : at + AT_ONCE])

    def _experiment(self, name: str) -> str:
        try:
            found = self._client.get_experiment_by_name(name)
        except MlflowException as error:
            if "Max retries exceeded" in str(error):
                raise ConnectionError(f"nobody answers at {self._client.tracking_uri}") from error
            raise
        try:
            return str(found.experiment_id if found else self._client.create_experiment(name))
        except MlflowException:  # a job beside this one was quicker
            if (found := self._client.get_experiment_by_name(name)) is None:
                raise
            return str(found.experiment_id)

    def _made(self) -> Any:
        run = self._run
        tags = {RUN_ID: run.run_id, "mlflow.user": run.user, "mlflow.source.name": "bon_hydra"} | run.tags
        tags |= {"mlflow.note.content": run.notes} if run.notes else {}
        tags |= {"sweep": run.sweep} if run.sweep else {}
        tags |= {"mlflow.source.git.commit": commit} if (commit := run.tags.get("git_commit")) else {}
        cut = {name: text[: LONGEST["tag"]] for name, text in tags.items()}
        return self._client.create_run(self._experiment_id, int(run.started_at * 1000), cut, run.name)

    def ended(self, outcome: Outcome) -> str:
        """Figures, curves (k is the step) and files."""
        self.running()
        now = int(time.time() * 1000)
        metrics = [Metric(_key(name), value, now, 0) for name, value in outcome.figures.items()]
        for name, points in outcome.curves.items():
            metrics += [Metric(_key(name), rate, now, k) for k, rate in points.items()]
        for at in range(0, len(metrics), AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[at : at + AT_ONCE])
        for file in outcome.files:
            self._client.log_artifact(self._id, str(file))
        self._end(outcome.status)
        return self._where()

    def _where(self) -> str:
        home, run = self._client.tracking_uri.rstrip("/"), f"experiments/{self._experiment_id}/runs/{self._id}"
        return f"{home}/#/{run}" if home.startswith("http") else f"{run} in {home}"

    def killed(self) -> None:
        """If it was there at all."""
        if self._id:
            self._end("killed")

    def _end(self, status: str) -> None:
        self._client.log_batch(self._id, tags=[RunTag("status", status)])
        self._client.set_terminated(self._id, STATUS.get(status, "KILLED"))


tracker = MlflowRun


def _key(name: str) -> str:
    """As MLflow takes names: words, and a few signs between them."""
    return re.sub(r"[^\w\-. /]", "-", name)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST["param"] else text[: LONGEST["param"] - 1] + "…"
