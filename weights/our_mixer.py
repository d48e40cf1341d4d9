"""models/mixer.py by its parameters.

D width, F MLP over the channels, T MLP over the patches, P patch, J channels of the image, N patches, C classes.
"""

from collections.abc import Mapping

from models import paths
from models.sizes import MIXER, MIXER_PATCHES
from weights import ours
from weights.ours import Described, Family, Indices, named

BLOCK = paths.BLOCK_PATTERN
SHAPES = {
    "embedding/kernel": "P P J D",
    "embedding/bias": "D",
    **{f"{BLOCK}/{norm}/{x}": "D" for norm in ("token_norm", "mlp_norm") for x in ("scale", "bias")},
    f"{BLOCK}/token_mlp/expand/kernel": "N T",
    f"{BLOCK}/token_mlp/expand/bias": "T",
    f"{BLOCK}/token_mlp/contract/kernel": "T N",
    f"{BLOCK}/token_mlp/contract/bias": "N",
    f"{BLOCK}/mlp/expand/kernel": "D F",
    f"{BLOCK}/mlp/expand/bias": "F",
    f"{BLOCK}/mlp/contract/kernel": "F D",
    f"{BLOCK}/mlp/contract/bias": "D",
    "norm/scale": "D",
    "norm/bias": "D",
    "head/kernel": "D C",
    "head/bias": "C",
}


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    del parts
    depth = ours.depth(indices)
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "token_mlp_dim": sizes["T"]}
    name = next((name for name, row in MIXER.items() if row == size), "")
    variant = f"{name}/{sizes['P']}" if name and sizes["P"] in MIXER_PATCHES else ""
    settings, words = named("Mixer", variant, size | {"patch": sizes["P"]})
    return Described(
        settings={"name": "mixer", **settings},
        variant=variant,
        words=words,
        classes=sizes.get("C", 0),
        channels=sizes["J"],
        patches=sizes["N"],
        side=sizes["P"],
    )


FAMILY = Family("a Mixer", SHAPES, ("head",), describe, "mixer")
