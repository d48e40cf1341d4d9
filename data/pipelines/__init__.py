"""Pipelines by kind: config.data.kind = "images" is `data/pipelines/images.py`'s `Pipeline(...)`.

base.py has what all kinds share; examples.py and ragged.py what kinds of one size, and kinds of sentences, share.
"""
