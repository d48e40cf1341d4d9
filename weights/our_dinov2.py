"""models/vit.py as DINOv2 and DINOv3 have it: registers, factors of the branches, gated MLPs, rotary positions.

D width, F MLP, G gate, H heads, K head size, P patch, E channels, N positions, T registers.
"""

from collections.abc import Mapping
from functools import partial
from math import isqrt

from models.sizes import VIT, VIT_PATCHES
from weights import our_vit, ours
from weights.our_vit import BLOCK
from weights.ours import Described, Family, Indices, Settings, named

FACTOR = 1.0  # what the branches' factors begin with in transformers; trained ones are what they are
SHAPES = {name: shape for name, shape in our_vit.SHAPES.items() if name.split("/")[0] in ("token", "embedding")}
SHAPES |= {name: shape for name, shape in our_vit.SHAPES.items() if name.split("/")[0] in ("positions", "encoder")}
SHAPES |= {
    "registers": "1 T D",
    f"{BLOCK}/attention_scale": "D",
    f"{BLOCK}/mlp_scale": "D",
    f"{BLOCK}/mlp/gate/kernel": "D G",
    f"{BLOCK}/mlp/gate/bias": "G",
}


def describe(version: int, sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    depth = ours.depth(indices)
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "heads": sizes["H"]}
    name = next((name for name, row in VIT.items() if row == size), "")
    variant = f"{name}/{sizes['P']}" if name and sizes["P"] in VIT_PATCHES else ""
    fields: Settings = size | {"patch": sizes["P"]}
    settings, words = named(f"DINOv{version}", variant, fields)
    patches = sizes["N"] - 1 if "positions" in parts else 0
    rows = isqrt(patches)
    square = {"position_grid": (rows, rows)} if patches and rows**2 == patches else {}
    return Described(
        settings={
            "name": "vit",
            **settings,
            "head": "token",
            "representation": False,
            "registers": sizes.get("T", 0),
            "positions": "learned" if version == 2 else "rotary",
            "key_bias": version == 2,
            "layer_scale": FACTOR,
            "activation": "swiglu" if "G" in sizes else "gelu",
            **square,
        },
        variant=variant,
        words=words,
        classes=0,
        channels=sizes["E"],
        patches=patches,
        side=sizes["P"],
    )


FAMILIES = {
    version: Family(
        f"a DINOv{version}", SHAPES, ("registers",), partial(describe, version), "vit", our_vit.FAMILY.heads
    )
    for version in (2, 3)
}
