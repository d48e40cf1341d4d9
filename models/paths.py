"""Names of a model's layers within parameter paths. Any room may import this file: it imports only `re`.

A path is "encoder/block_00/mlp/expand/kernel". Layers written out are `block_00`, `block_01`, ...; layers that a scan
stacks are one module `blocks`, whose parameters have the layers as their first axis. A ResNet's are `stage_1_unit_01`
and so on.
"""

import re
from typing import NamedTuple

STACKED = "blocks"
# The names of layers as patterns whose numbers count from 0, for tables of names (weights/tables.py).
BLOCK_PATTERN = "block_{block:02}"
UNIT_PATTERN = "stage_{stage+1}_unit_{unit+1:02}"

_BLOCK = re.compile(r"block_(\d+)")
_UNIT = re.compile(r"stage_(\d+)_unit_(\d+)")


class Layer(NamedTuple):
    """Where a path enters a layer: the path before it, the layer's number (None if stacked), the path after it."""

    before: str
    number: int | None
    after: str


def block(number: int) -> str:
    """The name of a layer that is written out: 3 -> "block_03"."""
    return f"block_{number:02}"


def unit(stage: int, number: int) -> str:
    """The name of a ResNet's unit, both counted from 0: (0, 2) -> "stage_1_unit_03"."""
    return f"stage_{stage + 1}_unit_{number + 1:02}"


def is_layer(name: str) -> bool:
    """Whether a module of this name is a layer, or the layers that a scan stacks."""
    return name == STACKED or bool(_BLOCK.fullmatch(name) or _UNIT.fullmatch(name))


def layer(path: str) -> Layer | None:
    """The block of a Transformer or a Mixer that a parameter path leads through, None if there is none."""
    parts = path.split("/")
    for place, part in enumerate(parts):
        found = _BLOCK.fullmatch(part)
        if found or part == STACKED:
            before, after = "/".join(parts[:place]), "/".join(parts[place + 1 :])
            return Layer(before, int(found[1]) if found else None, after)
    return None


def written_out(path: str, number: int) -> str:
    """The path of layer `number` where `path` leads through stacked layers; others stay as they are."""
    return "/".join(block(number) if part == STACKED else part for part in path.split("/"))
