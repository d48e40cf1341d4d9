"""models/dit.py by its parameters.

D width, F MLP, H heads, K head size, P patch, E channels of the image, C classes with that of no class, M and L what a
layer and the last one are scaled and shifted by, O numbers of a patch of the output.
"""

from collections.abc import Mapping

from errors import UserError
from models import paths
from models.sizes import DIT, DIT_PATCHES
from weights import ours
from weights.ours import Described, Family, Indices, Settings, named

BLOCK = paths.BLOCK_PATTERN
PROJECTIONS = ("query", "key", "value")


def _linear(name: str, inputs: str, outputs: str) -> dict[str, str]:
    return {f"{name}/kernel": f"{inputs} {outputs}", f"{name}/bias": outputs}


SHAPES = {
    **_linear("embedding", "P P E", "D"),
    **_linear("time/hidden", "256", "D"),
    **_linear("time/out", "D", "D"),
    "classes/embedding": "C D",
    **_linear(f"{BLOCK}/modulation", "D", "M"),
    **{name: shape for part in PROJECTIONS for name, shape in _linear(f"{BLOCK}/attention/{part}", "D", "H K").items()},
    **_linear(f"{BLOCK}/attention/out", "H K", "D"),
    **_linear(f"{BLOCK}/mlp/expand", "D", "F"),
    **_linear(f"{BLOCK}/mlp/contract", "F", "D"),
    **_linear("modulation", "D", "L"),
    **_linear("head", "D", "O"),
}


def heads_of(width: int) -> int:
    """How many heads a published DiT of this width has, which its matrices do not show."""
    return next((row["heads"] for row in DIT.values() if row["width"] == width), max(width // 64, 1))


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    del parts
    width, pixels = sizes["D"], sizes["P"] ** 2 * sizes["E"]
    if sizes["F"] != 4 * width:
        raise UserError(f"its MLPs have {sizes['F']} units, and a DiT of a width of {width} has {4 * width}.")
    if sizes["O"] not in (pixels, 2 * pixels):
        raise UserError(f"it returns {sizes['O']} numbers for a patch of {pixels}, which is no noise, nor a variance.")
    depth = ours.depth(indices)
    size: Settings = {"width": width, "depth": depth, "heads": sizes["H"]}
    name = next((name for name, row in DIT.items() if row == size and sizes["P"] in DIT_PATCHES), "")
    variant = f"{name}/{sizes['P']}" if name else ""
    settings, words = named("DiT", variant, size | {"patch": sizes["P"]})
    return Described(
        settings={"name": "dit", **settings, "learned_variance": sizes["O"] == 2 * pixels},
        variant=variant,
        words=words,
        classes=sizes["C"] - 1,
        channels=sizes["E"],
        side=sizes["P"],
    )


FAMILY = Family(
    "a DiT",
    SHAPES,
    (),
    describe,
    "dit",
    lambda theirs: heads_of(len(theirs("embedding/bias"))),
    {"": "configs/dit_fashion_mnist.py:diffusion"},
)
