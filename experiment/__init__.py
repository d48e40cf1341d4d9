"""A run: built from a config, or restored from its workdir. `experiment.load(workdir)` is what a notebook begins
with."""

from experiment.build import build
from experiment.restore import load, saved_config
from experiment.run import Run

__all__ = ["Run", "build", "load", "saved_config"]
