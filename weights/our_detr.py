"""models/detr.py as published, with a ResNet of bottlenecks, by its parameters.

E channels of the image, D width, H heads, K head size, F MLP, Q queries, X classes and "no object"; of the ResNet R
width of its root and, of each stage, W width of the convolutions and O of the output.
"""

from collections.abc import Mapping
from functools import partial

from errors import UserError
from models import paths
from models.sizes import RESNET_DEPTHS, RESNET_WIDTH
from weights import ours
from weights.ours import Described, Family, Indices, Settings, Shape, named, stages

UNIT = f"trunk/{paths.UNIT_PATTERN}"
ENCODER = f"encoder_{paths.BLOCK_PATTERN}"
DECODER = f"decoder_{paths.BLOCK_PATTERN.replace('block:', 'layer:')}"  # there may be more or fewer
PROJECTIONS = ("query", "key", "value")
STATISTICS = ("scale", "bias", "mean", "variance")


def _unit(letters: str, index: Mapping[str, int]) -> str:
    """Letters of a unit's stage: "W O" -> "W2 O2"; "I" is what the unit is given."""
    stage, first = index["stage"], index["unit"] == 0
    before = ("R" if stage == 0 else f"O{stage - 1}") if first else f"O{stage}"
    return " ".join(before if x == "I" else f"{x}{stage}" if x in ("W", "O") else x for x in letters.split())


def _shape(letters: str) -> Shape:
    return partial(_unit, letters)


def _layer(layer: str, attentions: tuple[str, ...]) -> dict[str, Shape]:
    norms = (*(f"{name}_norm" for name in attentions), "mlp_norm")
    return {
        **{f"{layer}/{name}/{part}/kernel": "D H K" for name in attentions for part in PROJECTIONS},
        **{f"{layer}/{name}/{part}/bias": "H K" for name in attentions for part in PROJECTIONS},
        **{f"{layer}/{name}/out/kernel": "H K D" for name in attentions},
        **{f"{layer}/{name}/out/bias": "D" for name in attentions},
        **{f"{layer}/{norm}/{x}": "D" for norm in norms for x in ("scale", "bias")},
        f"{layer}/mlp/expand/kernel": "D F",
        f"{layer}/mlp/expand/bias": "F",
        f"{layer}/mlp/contract/kernel": "F D",
        f"{layer}/mlp/contract/bias": "D",
    }


SHAPES: dict[str, Shape] = {
    "trunk/root_conv/kernel": "7 7 E R",
    **{f"trunk/root_norm/{x}": "R" for x in STATISTICS},
    f"{UNIT}/conv_1/kernel": _shape("1 1 I W"),
    f"{UNIT}/conv_2/kernel": _shape("3 3 W W"),
    f"{UNIT}/conv_3/kernel": _shape("1 1 W O"),
    f"{UNIT}/conv_projection/kernel": _shape("1 1 I O"),
    **{f"{UNIT}/norm_{name}/{x}": _shape("W") for name in "12" for x in STATISTICS},
    **{f"{UNIT}/norm_{name}/{x}": _shape("O") for name in ("3", "projection") for x in STATISTICS},
    "projection/kernel": "L D",
    "projection/bias": "D",
    "queries": "Q D",
    **_layer(ENCODER, ("attention",)),
    **_layer(DECODER, ("attention", "cross_attention")),
    "norm/scale": "D",
    "norm/bias": "D",
    "class_head/kernel": "D X",
    "class_head/bias": "X",
    **{f"box_head/hidden_{i}/kernel": "D D" for i in range(2)},
    **{f"box_head/hidden_{i}/bias": "D" for i in range(2)},
    "box_head/out/kernel": "D 4",
    "box_head/out/bias": "4",
}


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    del parts
    depths = stages(indices)
    encoder, decoder = ours.depth(indices), ours.depth(indices, "layer")
    if odd := [s for s in range(len(depths)) if sizes[f"W{s}"] != sizes["R"] * 2**s]:
        raise UserError(f"stage {odd[0] + 1} of its ResNet is not twice as wide as the one before.")
    known = next((n for n, row in RESNET_DEPTHS.items() if row == depths and sizes["R"] == RESNET_WIDTH), "")
    trunk: Settings = {"variant": known} if known else {"width": sizes["R"], "depths": depths, "bottleneck": True}
    size: Settings = {"width": sizes["D"], "encoder_depth": encoder, "decoder_depth": decoder, "heads": sizes["H"]}
    size |= {"mlp_dim": sizes["F"], "queries": sizes["Q"]}
    _, words = named(f"DETR-R{known}" if known else "DETR", "", size)
    return Described(
        settings={"name": "detr", "trunk": {"name": "residual", "norm": "frozen", **trunk}, **size}
        | {"strides": (4 * 2 ** (len(depths) - 1),)},
        variant="",
        words=words,
        classes=sizes["X"] - 1,
        channels=sizes["E"],
    )


HEADS = 8  # of every published model, whose matrices do not show it
FAMILY = Family("a DETR", SHAPES, (), describe, "detr", lambda theirs: HEADS, {"": "configs/detr_coco.py"})
