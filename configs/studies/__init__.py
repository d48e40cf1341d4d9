"""One file a study: a grid of runs that differ in what the study asks about. See studies/grid.py."""
