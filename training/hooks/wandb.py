"""Weights & Biases. Project, entity and mode are its own environment variables': WANDB_PROJECT, WANDB_ENTITY,
WANDB_MODE=offline (`wandb sync` sends what was kept)."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import storage
from training.hooks import Config, library, remembered

INSTALL = "wandb==0.31.0"


class Hook:
    """One run of Weights & Biases for one of ours, which goes on with it."""

    def __init__(self) -> None:
        self._library = library("wandb", INSTALL)

    def begin(self, config: Config, workdir: Path, step: int) -> None:
        """Opens the run. Its files are in WORKDIR/wandb."""
        self._run = self._library.init(
            project=os.environ.get("WANDB_PROJECT", "attend"),
            name=workdir.name,
            id=remembered(workdir, "wandb", lambda: secrets.token_hex(4)),
            resume="allow",
            config=dict(config),
            dir=str(storage.on_disk(workdir)),
            settings=self._library.Settings(silent=True, console="off"),
        )
        self._run.define_metric("*", step_metric="step")  # its own steps only rise, and a rollback goes back

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics over our step."""
        self._run.log({"step": step, **metrics})

    def figure(self, step: int, name: str, path: Path) -> None:
        """A picture."""
        self._run.log({"step": step, f"figures/{name}": self._library.Image(str(path))})

    def end(self, status: str) -> None:
        """Closes the run."""
        self._run.summary["status"] = status
        self._run.finish(exit_code=int(status == "failed"))
