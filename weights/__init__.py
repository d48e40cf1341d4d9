"""Published weights, both ways: `read` a file into our parameters, `write` ours under another scheme's names.

`weights.read("ViT-B_16.npz").params` is {"encoder": {"block_00": {"attention": ...}}} of float32 arrays, whatever the
scheme; `.model` holds the keys of config.model that the weights decide. Blocks stand apart; `stacked` gives the form of
config.model.scan. This package knows only the sizes and layer names of our models, and computes only with NumPy.
"""

from weights import files
from weights.beside import default_config
from weights.moves import Move
from weights.reading import Weights, mismatch, read
from weights.schemes import MODELS, SCHEMES, configs_of, families_by_config, schemes_of
from weights.trees import flat, nested, stacked, unstacked
from weights.writing import numbered, write, write_folder

__all__ = [
    "MODELS",
    "SCHEMES",
    "SUFFIXES",
    "Move",
    "Weights",
    "configs_of",
    "default_config",
    "families_by_config",
    "find",
    "flat",
    "is_published",
    "mismatch",
    "nested",
    "numbered",
    "read",
    "schemes_of",
    "stacked",
    "unstacked",
    "write",
    "write_folder",
]

SUFFIXES = files.SUFFIXES
find, is_published = files.find, files.is_published
