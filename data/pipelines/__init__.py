"""Pipelines by kind: config.data.kind = "images" is `data/pipelines/images.py`'s `make(...)`."""
