"""MLflow. Its store is that of MLFLOW_TRACKING_URI, such as sqlite:///mlflow.db, a folder or a server; without it, what
MLflow itself takes in the current folder. The experiment is that of MLFLOW_EXPERIMENT_NAME, or "attend"."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

from flax.traverse_util import flatten_dict

from training.hooks import Config, library, remembered

INSTALL = "mlflow==3.17.2"
LONGEST = 500  # characters of a parameter that every store takes
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class Hook:
    """One run of MLflow for one of ours, which goes on with it."""

    def __init__(self) -> None:
        self._library = library("mlflow", INSTALL)

    def begin(self, config: Config, workdir: Path, step: int) -> None:
        """Opens the run; the config's keys are its parameters, as they were when it began."""
        self._client = self._library.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "attend")
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._id = remembered(
            workdir, "mlflow", lambda: self._client.create_run(number, run_name=workdir.name).info.run_id
        )
        self._client.update_run(self._id, status="RUNNING")
        if not self._client.get_run(self._id).data.params:
            entities = self._library.entities
            rows = flatten_dict(dict(config), sep=".")
            parameters = [entities.Param(key, str(value)[:LONGEST]) for key, value in rows.items()]
            for start in range(0, len(parameters), 100):  # which is the most that one call takes
                self._client.log_batch(self._id, params=parameters[start : start + 100])

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics at our step; those that are not finite have no place in every store."""
        for name, value in metrics.items():
            if math.isfinite(value):
                self._client.log_metric(self._id, name, float(value), step=step)

    def figure(self, step: int, name: str, path: Path) -> None:
        """A picture."""
        self._client.log_artifact(self._id, str(path), artifact_path=f"figures/{step}")

    def end(self, status: str) -> None:
        """Closes the run."""
        self._client.set_terminated(self._id, status=STATUS[status])
