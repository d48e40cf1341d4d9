"""models/vit.py by its parameters, hybrids among them.

D width, F MLP, H heads, K head size, P patch, E channels of what the patches are of, N positions, C classes.
"""

from collections.abc import Mapping

from errors import UserError
from models import paths
from models.sizes import HYBRIDS, RESNET_WIDTH, VIT, VIT_PATCHES
from weights import our_resnet, ours
from weights.ours import Described, Family, Indices, Settings, named

BLOCK = f"encoder/{paths.BLOCK_PATTERN}"
PROJECTIONS = ("query", "key", "value")
SHAPES = {
    "token": "1 1 D",
    "distillation_token": "1 1 D",
    **our_resnet.trunk("stem", "post"),
    "embedding/kernel": "P P E D",
    "embedding/bias": "D",
    "positions/embedding": "1 N D",
    f"{BLOCK}/attention_norm/scale": "D",
    f"{BLOCK}/attention_norm/bias": "D",
    **{f"{BLOCK}/attention/{part}/kernel": "D H K" for part in PROJECTIONS},
    **{f"{BLOCK}/attention/{part}/bias": "H K" for part in PROJECTIONS},
    f"{BLOCK}/attention/out/kernel": "H K D",
    f"{BLOCK}/attention/out/bias": "D",
    f"{BLOCK}/mlp_norm/scale": "D",
    f"{BLOCK}/mlp_norm/bias": "D",
    f"{BLOCK}/mlp/expand/kernel": "D F",
    f"{BLOCK}/mlp/expand/bias": "F",
    f"{BLOCK}/mlp/contract/kernel": "F D",
    f"{BLOCK}/mlp/contract/bias": "D",
    "encoder/norm/scale": "D",
    "encoder/norm/bias": "D",
    "pooling/query": "1 1 D",
    **{f"pooling/attention/{part}/kernel": "D H K" for part in PROJECTIONS},
    **{f"pooling/attention/{part}/bias": "H K" for part in PROJECTIONS},
    "pooling/attention/out/kernel": "H K D",
    "pooling/attention/out/bias": "D",
    "pooling/norm/scale": "D",
    "pooling/norm/bias": "D",
    "pooling/mlp/expand/kernel": "D F",
    "pooling/mlp/expand/bias": "F",
    "pooling/mlp/contract/kernel": "F D",
    "pooling/mlp/contract/bias": "D",
    "pre_logits/kernel": "D D",
    "pre_logits/bias": "D",
    "head/kernel": "D C",
    "head/bias": "C",
    "distillation_head/kernel": "D C",
    "distillation_head/bias": "C",
}


def heads_of(width: int) -> int:
    """How many heads a published ViT of this width has, which PyTorch's matrices do not show."""
    return next((row["heads"] for row in VIT.values() if row["width"] == width), max(width // 64, 1))


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    if ("distillation_head" in parts) != ("distillation_token" in parts and "head" in parts):
        raise UserError("a distillation token and a head of its own belong together, and only one is there.")
    depth = ours.depth(indices)
    patch = sizes["P"]
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "heads": sizes["H"]}
    fields: Settings = size | {"patch": patch}
    name, side = next((name for name, row in VIT.items() if row == size), ""), patch
    variant = f"{name}/{patch}" if name and patch in VIT_PATCHES else ""
    if "stem" in parts:
        root, width, depths = our_resnet.size(sizes, indices)
        fields |= {"stem": root, "stem_width": width, "stem_depths": depths}
        hybrid, published = (depths, patch, name), root == "imagenet" and width == RESNET_WIDTH
        variant = next((v for v, row in HYBRIDS.items() if published and row == hybrid), "")
        side *= our_resnet.stride(root, depths)
    settings, words = named("ViT", variant, fields)
    tokens = sum(token in parts for token in ("token", "distillation_token"))
    return Described(
        settings={
            "name": "vit",
            **settings,
            "head": "map" if "pooling" in parts else ("gap", "token", "distilled")[tokens],
            "representation": "pre_logits" in parts,
            "positions": "learned",
        },
        variant=variant,
        words=words,
        classes=sizes.get("C", 0),
        channels=sizes["J" if "stem" in parts else "E"],
        patches=sizes["N"] - tokens,
        side=side,
    )


OPTIONAL = ("token", "distillation_token", "stem", "pooling", "pre_logits", "head", "distillation_head")
FAMILY = Family("a ViT", SHAPES, OPTIONAL, describe, "vit", lambda theirs: heads_of(len(theirs("embedding/bias"))))
