"""Trees of arrays: what they are called in signatures, and their leaves by name."""

import re
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import PyTree as PyTree

from errors import UserError

Batch = dict[str, jax.Array]
Shapes = dict[str, jax.ShapeDtypeStruct]  # of a batch
Variables = Mapping[str, PyTree]  # of a model: {"params": ..., "batch_stats": ...}
Sums = dict[str, tuple[jax.Array, jax.Array]]  # name -> (weighted sum, weight), on the devices
Totals = dict[str, tuple[np.ndarray, np.ndarray]]  # the same, added on the host in float64


def by_name(tree: PyTree) -> dict[str, PyTree]:
    """Every leaf by its name, "encoder/block_00/mlp/expand/kernel", in jax's order."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def matched(params: PyTree, patterns: Sequence[str], key: str, every: Callable[[], Sequence[str]] = tuple) -> PyTree:
    """The tree of booleans that says which parameters' whole path one of the patterns matches.

    Args:
      key: the patterns' key, for the error line.
      every: the paths of all parameters, where the tree may lack some.

    Raises:
      UserError: a pattern that matches no parameter.
    """
    names = list(by_name(params))

    def fits(pattern: str, names: Sequence[str]) -> bool:
        return any(re.fullmatch(pattern, name) for name in names)

    for pattern in patterns:
        if not fits(pattern, names) and not fits(pattern, every()):
            raise UserError(f"{key}: {pattern!r} matches no parameter, such as {names[0]!r}.")
    leaves = [any(re.fullmatch(pattern, name) for pattern in patterns) for name in names]
    return jax.tree.unflatten(jax.tree.structure(params), leaves)
