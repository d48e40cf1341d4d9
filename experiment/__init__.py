"""A run: built from a config, or restored from its workdir. `experiment.load(workdir)` is what a notebook begins with."""

from experiment.build import Run, build

__all__ = ["Run", "build"]
