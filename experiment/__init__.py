"""A run: built from a config, or restored from its workdir. `experiment.load(workdir)` is what a notebook begins
with."""

from experiment.build import build
from experiment.exported import load as load_exported
from experiment.restore import saved_config
from experiment.run import Run
from experiment.trained import Trained, load

__all__ = ["Run", "Trained", "build", "load", "load_exported", "saved_config"]
