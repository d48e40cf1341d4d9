"""models/upernet.py on a Swin as published, by its parameters.

The letters of weights/our_swin.py; D0 to D3 are the widths of the maps, G the pyramid's, U of all that is pooled beside
the last map, T of all maps of the pyramid, A of the auxiliary head.
"""

from collections.abc import Mapping

from errors import UserError
from models.sizes import AUXILIARY_WIDTH
from weights import our_swin
from weights.ours import Described, Family, Indices, Settings, Shape, stages

STATISTICS = ("scale", "bias", "mean", "variance")
STRIDES = (4, 8, 16, 32)
SCALES = (1, 2, 3, 6)


def _convolution(name: str, before: str, size: int, after: str = "G") -> dict[str, Shape]:
    return {f"{name}/conv/kernel": f"{size} {size} {before} {after}", **{f"{name}/norm/{x}": after for x in STATISTICS}}


def _shapes() -> dict[str, Shape]:
    shapes = our_swin.trunk_shapes("1")
    for stage in range(len(STRIDES)):
        shapes |= {f"trunk_norm_{stage}/{x}": f"D{stage}" for x in ("scale", "bias")}
    for scale in SCALES:
        shapes |= _convolution(f"pooled_{scale}", "D3", 1)
    for stage in range(len(STRIDES) - 1):
        shapes |= _convolution(f"lateral_{stage}", f"D{stage}", 1) | _convolution(f"output_{stage}", "G", 3)
    shapes |= _convolution("bottleneck", "U", 3) | _convolution("fusion", "T", 3)
    shapes |= _convolution("auxiliary", "D2", 3, "A")
    heads: dict[str, Shape] = {"head/kernel": "G C", "auxiliary_head/kernel": "A C"}
    return shapes | heads | {"head/bias": "C", "auxiliary_head/bias": "C"}


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    if len(stages(indices)) != len(STRIDES):
        raise UserError(f"its Swin has {len(stages(indices))} stages, and only one of {len(STRIDES)} can be read.")
    if sizes.get("A", AUXILIARY_WIDTH) != AUXILIARY_WIDTH:
        raise UserError(f"its auxiliary head is {sizes['A']} wide, and only one of {AUXILIARY_WIDTH} can be read.")
    trunk = our_swin.FAMILIES["1"].describe(sizes, indices, parts)
    settings: Settings = {
        "name": "upernet",
        "trunk": trunk.settings | {"padding": "zeros"},
        "strides": STRIDES,
        "width": sizes["G"],
        "auxiliary": 16 if "auxiliary" in parts else 0,
    }
    return Described(
        settings=settings,
        variant="",
        words=f"UPerNet of width {sizes['G']} on {trunk.words}",
        classes=sizes["C"],
        channels=sizes["E"],
    )


FAMILY = Family(
    "a UPerNet",
    _shapes(),
    ("auxiliary", "auxiliary_head"),
    describe,
    "upernet",
    our_swin.FAMILIES["1"].heads,
    {"": "configs/upernet_ade20k.py"},
)
