"""models/mixer.py by its parameters.

D width, F MLP over the channels, T MLP over the patches, P patch, J channels of the image, N patches, C classes.
"""

from collections.abc import Mapping
from math import isqrt

from weights.ours import Described, Family, named

BLOCK = "block_{block:02}"
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
# The sizes of models/mixer.py (a test holds them equal): width, depth, F, T.
SIZES = {
    "S": (512, 8, 2048, 256),
    "B": (768, 12, 3072, 384),
    "L": (1024, 24, 4096, 512),
    "H": (1280, 32, 5120, 640),
}
PATCHES = (14, 16, 32)


def describe(sizes: Mapping[str, int], indices: set[tuple[tuple[str, int], ...]], parts: set[str]) -> Described:
    del parts
    depth = 1 + max(dict(index).get("block", -1) for index in indices)
    size = (sizes["D"], depth, sizes["F"], sizes["T"])
    name = next((name for name, row in SIZES.items() if row == size), "")
    variant = f"{name}/{sizes['P']}" if name and sizes["P"] in PATCHES else ""
    fields = dict(zip(("width", "depth", "mlp_dim", "token_mlp_dim", "patch"), (*size, sizes["P"]), strict=True))
    settings, words = named("Mixer", variant, fields)
    side = isqrt(sizes["N"])
    return Described(
        settings={"name": "mixer", **settings},
        variant=variant,
        words=words,
        classes=sizes.get("C", 0),
        channels=sizes["J"],
        image_size=side * sizes["P"] if side**2 == sizes["N"] else None,
    )


FAMILY = Family("a Mixer", SHAPES, ("head",), describe)
