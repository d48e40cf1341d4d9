"""Trackio, on this machine: what it keeps is in TRACKIO_DIR, shown by `trackio show`; TRACKIO_PROJECT names the
project. With TRACKIO_SPACE_ID it sends to a Space of Hugging Face."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from flax.traverse_util import flatten_dict

from training.hooks import Config, library, remembered

INSTALL = "trackio==0.43.0"


class Hook:
    """One run of Trackio for one of ours, which goes on with it."""

    def __init__(self) -> None:
        self._library = library("trackio", INSTALL)

    def begin(self, config: Config, workdir: Path, step: int) -> None:
        """Opens the run."""
        self._run = self._library.init(
            project=os.environ.get("TRACKIO_PROJECT", "attend"),
            name=remembered(workdir, "trackio", lambda: f"{workdir.name}-{secrets.token_hex(2)}"),
            resume="allow",
            config=flatten_dict(dict(config), sep="."),
            embed=False,
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics at our step."""
        self._run.log(dict(metrics), step=step)

    def figure(self, step: int, name: str, path: Path) -> None:
        """A picture."""
        self._run.log({f"figures/{name}": self._library.Image(str(path))}, step=step)

    def end(self, status: str) -> None:
        """Closes the run."""
        self._run.log({"status": status})
        self._run.finish()
