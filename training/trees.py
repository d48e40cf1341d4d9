"""Trees of arrays: what they are called in signatures, and their leaves by name."""

from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import PyTree as PyTree

Batch = dict[str, jax.Array]
Shapes = dict[str, jax.ShapeDtypeStruct]  # of a batch
Variables = Mapping[str, PyTree]  # of a model: {"params": ..., "batch_stats": ...}
Sums = dict[str, tuple[jax.Array, jax.Array]]  # name -> (weighted sum, weight), on the devices
Totals = dict[str, tuple[np.ndarray, np.ndarray]]  # the same, added on the host in float64


def by_name(tree: PyTree) -> dict[str, PyTree]:
    """Every leaf by its name, "encoder/block_00/mlp/expand/kernel", in jax's order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
