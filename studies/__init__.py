"""Grids of runs: what they are, and how they are run."""
