"""Names of the leaves of a tree: "encoder/block_00/mlp/expand/kernel"."""

from typing import Any

import jax


def name(path: tuple[Any, ...]) -> str:
    """A key path of jax.tree_util as one name, whatever its containers are."""
    return "/".join(str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key)))) for key in path)


def table(tree: Any) -> dict[str, Any]:
    """Every leaf by its name, in jax's order."""
    return {name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def names(tree: Any) -> list[str]:
    """Of all leaves, in jax's order."""
    return list(table(tree))
