"""One file an experiment; README.md lists them."""
