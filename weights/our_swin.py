"""models/swin.py by its parameters, of both versions.

E channels of the image, P patch, K head size, R offsets within a window, X width of V2's network of biases, C classes;
of each stage D width, H heads, F MLP, M width of four neighbours.
"""

from collections.abc import Mapping
from functools import partial
from math import isqrt

from errors import UserError
from models import paths
from models.sizes import SWIN
from weights.ours import Described, Family, Indices, Shape, Theirs, named, stages

BLOCK = f"trunk/{paths.UNIT_PATTERN}"
MERGING = "trunk/merging_{stage+1}"
PROJECTIONS = ("query", "key", "value")
HEAD_DIM = 32  # of all published models


def _of(letters: str, index: Mapping[str, int]) -> str:
    """Letters of a block's stage: "D 4" -> "D2 4"; "N" is the next stage's D."""
    stage = index["stage"]
    return " ".join(
        f"D{stage + 1}" if x == "N" else f"{x}{stage}" if x in ("D", "H", "F", "M") else x for x in letters.split()
    )


def _shape(letters: str) -> Shape:
    return partial(_of, letters)


def trunk_shapes(version: str) -> dict[str, Shape]:
    """Of all but the last norm and the head."""
    second = version == "2"
    bias: dict[str, Shape] = {f"{BLOCK}/attention/bias/embedding": _shape("R H")}
    if second:
        bias = {
            f"{BLOCK}/attention/scale": _shape("H"),
            f"{BLOCK}/attention/bias/expand/kernel": "2 X",
            f"{BLOCK}/attention/bias/expand/bias": "X",
            f"{BLOCK}/attention/bias/contract/kernel": _shape("X H"),
        }
    biased = [part for part in PROJECTIONS if part != "key" or not second]
    return {
        "trunk/embedding/kernel": "P P E D0",
        "trunk/embedding/bias": "D0",
        **{f"trunk/embedding_norm/{x}": "D0" for x in ("scale", "bias")},
        **{f"{BLOCK}/attention_norm/{x}": _shape("D") for x in ("scale", "bias")},
        **{f"{BLOCK}/attention/{part}/kernel": _shape("D H K") for part in PROJECTIONS},
        **{f"{BLOCK}/attention/{part}/bias": _shape("H K") for part in biased},
        **bias,
        f"{BLOCK}/attention/out/kernel": _shape("H K D"),
        f"{BLOCK}/attention/out/bias": _shape("D"),
        **{f"{BLOCK}/mlp_norm/{x}": _shape("D") for x in ("scale", "bias")},
        f"{BLOCK}/mlp/expand/kernel": _shape("D F"),
        f"{BLOCK}/mlp/expand/bias": _shape("F"),
        f"{BLOCK}/mlp/contract/kernel": _shape("F D"),
        f"{BLOCK}/mlp/contract/bias": _shape("D"),
        f"{MERGING}/reduction/kernel": _shape("M N"),
        **{f"{MERGING}/norm/{x}": _shape("N" if second else "M") for x in ("scale", "bias")},
    }


def _shapes(version: str) -> dict[str, Shape]:
    return trunk_shapes(version) | {
        "norm/scale": "L",
        "norm/bias": "L",
        "head/kernel": "L C",
        "head/bias": "C",
    }


def _describe(version: str, sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    del parts
    depths = stages(indices)
    if odd := [s for s in range(len(depths)) if sizes[f"F{s}"] != 4 * sizes[f"D{s}"]]:
        raise UserError(f"the MLPs of stage {odd[0] + 1} are not four times as wide as the stage.")
    size = sizes["D0"], depths
    variant = next((name for name, row in SWIN.items() if row == size and sizes["K"] == HEAD_DIM), "")
    fields = {"width": sizes["D0"], "depths": depths, "head_dim": sizes["K"]}
    settings, words = named("Swin" if version == "1" else "Swin V2", variant, fields)
    settings |= {"window": (isqrt(sizes["R"]) + 1) // 2} if "R" in sizes else {}
    return Described(
        settings={"name": "swin", **settings, "version": version, "patch": sizes["P"]},
        variant=variant,
        words=words,
        classes=sizes.get("C", 0),
        channels=sizes["E"],
    )


def _head_dim(version: str, theirs: Theirs) -> int:
    """The size of a head, which the width of the first stage and its number of heads show."""
    first = f"trunk/{paths.unit(0, 0)}"
    if version == "1":
        heads = theirs(f"{first}/attention/bias/embedding").shape[-1]
    else:
        heads = len(theirs(f"{first}/attention/scale"))
    return len(theirs(f"{first}/attention_norm/scale")) // heads


FAMILIES = {
    version: Family(
        words, _shapes(version), ("head",), partial(_describe, version), "swin", partial(_head_dim, version)
    )
    for version, words in (("1", "a Swin"), ("2", "a Swin V2"))
}
