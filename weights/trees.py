"""Parameters nested by name, {"encoder": {"norm": {"scale": ...}}}, and flat, {"encoder/norm/scale": ...}."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

Tree = dict[str, Any]


def flat(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    found: Tree = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def nested(leaves: Mapping[str, Any]) -> Tree:
    tree: Tree = {}
    for name, value in leaves.items():
        *above, last = name.split("/")
        place = tree
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return tree


def stacked(tree: Mapping[str, Any]) -> Tree:
    """Blocks that stand apart, `encoder/block_00` ..., as one, `encoder/blocks`, first axis L: the form of
    config.model.scan."""
    layers: dict[str, dict[int, Any]] = {}
    others: Tree = {}
    for name, value in flat(tree).items():
        if match := re.fullmatch(r"((?:.*/)?)block_(\d+)/(.+)", name):
            layers.setdefault(f"{match[1]}blocks/{match[3]}", {})[int(match[2])] = value
        else:
            others[name] = value
    return nested(others | {name: np.stack([found[i] for i in sorted(found)]) for name, found in layers.items()})


def unstacked(tree: Mapping[str, Any]) -> Tree:
    """The other way round; what is not stacked stays as it is."""
    found: Tree = {}
    for name, value in flat(tree).items():
        if match := re.fullmatch(r"((?:.*/)?)blocks/(.+)", name):
            found |= {f"{match[1]}block_{i:02}/{match[2]}": layer for i, layer in enumerate(value)}
        else:
            found[name] = value
    return nested(found)
