"""models/resnet.py by its parameters, and its trunk as a hybrid ViT has it.

J channels of the image, R side of the first window, W width, C classes; M bottleneck and O output of each stage.
"""

from collections.abc import Mapping

from models import paths
from models.sizes import RESNET_DEPTHS, RESNET_WIDTH
from weights.ours import Described, Family, Indices, Shape, named, stages

UNIT = paths.UNIT_PATTERN


def first(index: Mapping[str, int]) -> bool:
    """Whether a unit is the first of its stage, whose shortcut is a projection."""
    return index["unit"] == 0


def _into(index: Mapping[str, int]) -> str:
    """What comes into a unit."""
    if not first(index):
        return f"O{index['stage']}"
    return f"O{index['stage'] - 1}" if index["stage"] else "W"


def _middle(index: Mapping[str, int]) -> str:
    return f"M{index['stage']}" if index["stage"] else "W"


def _out(index: Mapping[str, int]) -> str:
    return f"O{index['stage']}"


def trunk(prefix: str, order: str) -> dict[str, Shape]:
    """order: "pre" or "post", as in models/resnet.py."""
    unit, norms = f"{prefix}/{UNIT}", {"pre": (_into, _middle, _middle), "post": (_middle, _middle, _out)}[order]
    shapes: dict[str, Shape] = {f"{prefix}/root_conv/kernel": "R R J W"}
    if order == "post":
        shapes |= {f"{prefix}/root_norm/{x}": "W" for x in ("scale", "bias")}
    shapes |= {
        f"{unit}/conv_1/kernel": lambda i: f"1 1 {_into(i)} {_middle(i)}",
        f"{unit}/conv_2/kernel": lambda i: f"3 3 {_middle(i)} {_middle(i)}",
        f"{unit}/conv_3/kernel": lambda i: f"1 1 {_middle(i)} {_out(i)}",
        f"{unit}/projection/kernel": lambda i: f"1 1 {_into(i)} {_out(i)}",
        **{f"{unit}/norm_{n + 1}/{x}": norms[n] for n in range(3) for x in ("scale", "bias")},
    }
    if order == "post":
        shapes |= {f"{unit}/projection_norm/{x}": _out for x in ("scale", "bias")}
    return shapes


def size(sizes: Mapping[str, int], indices: Indices) -> tuple[str, int, tuple[int, ...]]:
    """The root, the width and the units in each stage."""
    depths = stages(indices)
    return "imagenet" if sizes["R"] == 7 else "cifar", sizes["W"], depths


def stride(root: str, depths: tuple[int, ...]) -> int:
    """By how much a trunk makes images smaller."""
    return (4 if root == "imagenet" else 1) * 2 ** max(0, len(depths) - 1)


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    del parts
    root, width, depths = size(sizes, indices)
    number = next((name for name, row in RESNET_DEPTHS.items() if row == depths), "")
    whole = number and width % RESNET_WIDTH == 0 and width // RESNET_WIDTH < 10
    variant = f"R{number}x{width // RESNET_WIDTH}" if whole else ""
    settings, words = named("ResNet", variant, {"depths": depths, "width": width})
    return Described(
        settings={"name": "resnet", **settings, "root": root},
        variant=variant,
        words=words,
        classes=sizes.get("C", 0),
        channels=sizes["J"],
    )


HEAD = {"head/kernel": "L C", "head/bias": "C"}
OPTIONAL = ("head",)
NORM = {"norm/scale": "L", "norm/bias": "L"}
PRE = Family("a ResNet of BiT", trunk("trunk", "pre") | NORM | HEAD, OPTIONAL, describe, "resnet")
POST = Family("a ResNet with norms after its convolutions", trunk("trunk", "post") | HEAD, OPTIONAL, describe, "resnet")
