"""One file a study: runs that differ from one another in what it asks about. See studies/grid.py."""
