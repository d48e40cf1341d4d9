"""Studies: grids of runs, and how they are launched."""
