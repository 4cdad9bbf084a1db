"""MLflow: in the store that MLFLOW_TRACKING_URI names, or a database of SQLite in the run's folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data.tracking.registry import TRACKERS
from data.tracking.tracker import Parameter, RunTracker, TrackedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STORE, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
FOLDER = "mlflow"


@TRACKERS.register("mlflow")
class MLflow(RunTracker):
    """Metrics, parameters and pictures of a run, in the experiment of its project.

    `mlflow ui --backend-store-uri sqlite:///RUN/mlflow/mlflow.db` shows what is in a run's own store.
    """

    package = "mlflow"

    def __init__(self, run: TrackedRun) -> None:
        from mlflow import MlflowClient

        own = (run.folder / FOLDER).resolve()
        store = os.environ.get(STORE) or f"sqlite:///{own / 'mlflow.db'}"
        artifacts = None if os.environ.get(STORE) else (own / "artifacts").as_uri()
        own.mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(tracking_uri=store)
        self.run = run.known or self._begun(run, os.environ.get(EXPERIMENT) or run.project, artifacts)
        self.client.update_run(self.run, status="RUNNING")

    def parameters(self, values: Mapping[str, Parameter]) -> None:
        from mlflow.entities import Param

        said = [Param(name, str(value)) for name, value in values.items()]
        for first in range(0, len(said), 100):  # as many as it takes at once
            self.client.log_batch(self.run, params=said[first : first + 100])

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self.client.log_batch(self.run, metrics=[Metric(n, v, now, step) for n, v in metrics.items()])

    def figure(self, name: str, figure: Figure, step: int) -> None:
        self.client.log_figure(self.run, figure, f"{name}.png")

    def close(self, finished: bool) -> None:
        self.client.set_terminated(self.run, "FINISHED" if finished else "KILLED")

    def _begun(self, run: TrackedRun, experiment: str, artifacts: str | None) -> str:
        known = self.client.get_experiment_by_name(experiment)
        number = known.experiment_id if known else self.client.create_experiment(experiment, artifacts)
        begun: Any = self.client.create_run(number, run_name=run.name)
        return str(begun.info.run_id)
