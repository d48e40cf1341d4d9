"""Parameters by name, nested or flat; layers stacked, as config.model.scan has them, or written out.

Nested: {"encoder": {"norm": {"scale": ...}}}. Flat: {"encoder/norm/scale": ...}.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from models import paths

Leaf = Any  # an array, or anything with a shape
Tree = dict[str, Leaf]  # nested
Leaves = dict[str, Leaf]  # flat


def flat(tree: Mapping[str, Leaf]) -> Leaves:
    """Nested parameters -> flat ones. Flat ones stay as they are."""
    return flatten_dict(dict(tree), sep="/")


def nested(leaves: Mapping[str, Leaf]) -> Tree:
    """Flat parameters -> nested ones."""
    return unflatten_dict(dict(leaves), sep="/")


def layers(path: str, shape: tuple[int, ...]) -> list[tuple[str, int | None]]:
    """The parameters at a path, each with its place on the first axis: one without a place; or one for
    each layer, where layers are stacked."""
    layer = paths.layer(path)
    if layer is None or layer.number is not None:
        return [(path, None)]
    return [(paths.written_out(path, number), number) for number in range(shape[0])]


def written_out(leaves: Mapping[str, Leaf]) -> Leaves:
    """Flat parameters with each layer by itself, `block_00` ...; those that are so already stay as they are."""
    return {
        name: leaf if number is None else leaf[number]
        for path, leaf in leaves.items()
        for name, number in layers(path, leaf.shape)
    }


def unstacked(tree: Mapping[str, Leaf]) -> Tree:
    """The same of nested parameters."""
    return nested(written_out(flat(tree)))


def stacked(tree: Mapping[str, Leaf]) -> Tree:
    """The other way round: the layers `block_00` ... become one, `blocks`, with the layers as its first axis."""
    stacks: dict[str, dict[int, Leaf]] = {}
    others: Leaves = {}
    for name, leaf in flat(tree).items():
        layer = paths.layer(name)
        if layer is None or layer.number is None:
            others[name] = leaf
        else:
            path = "/".join(filter(None, (layer.before, paths.STACKED, layer.after)))
            stacks.setdefault(path, {})[layer.number] = leaf
    return nested(others | {path: np.stack([found[i] for i in sorted(found)]) for path, found in stacks.items()})
