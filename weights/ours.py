"""Our models by the names and shapes of their parameters: from these a file's size is told.

Letters are sizes, the same wherever they stand in a model: D width, F MLP, H heads, K head size, P patch, I channels of
the image, N tokens with positions, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

BLOCK = "encoder/block_{block:02}"
VIT = {
    "token": "1 1 D",
    "embedding/kernel": "P P I D",
    "embedding/bias": "D",
    "positions/embedding": "1 N D",
    f"{BLOCK}/attention_norm/scale": "D",
    f"{BLOCK}/attention_norm/bias": "D",
    f"{BLOCK}/attention/query/kernel": "D H K",
    f"{BLOCK}/attention/query/bias": "H K",
    f"{BLOCK}/attention/key/kernel": "D H K",
    f"{BLOCK}/attention/key/bias": "H K",
    f"{BLOCK}/attention/value/kernel": "D H K",
    f"{BLOCK}/attention/value/bias": "H K",
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
    "pre_logits/kernel": "D D",
    "pre_logits/bias": "D",
    "head/kernel": "D C",
    "head/bias": "C",
}
VIT_OPTIONAL = ("token", "pre_logits", "head")

# The sizes of models/vit.py (a test holds them equal): width, depth, F, heads.
VIT_SIZES = {
    "Ti": (192, 12, 768, 3),
    "S": (384, 12, 1536, 6),
    "B": (768, 12, 3072, 12),
    "L": (1024, 24, 4096, 16),
    "H": (1280, 32, 5120, 16),
}
PATCHES = (8, 14, 16, 32)


@dataclass(frozen=True)
class Described:
    """A model as its weights show it.

    Attributes:
      settings: the keys of config.model that they decide. variant: "B/16", "" where it is none of ours.
      words: the same for a person.
      classes: C; 0 without a head. channels: of the image. image_size: at which the positions are a square grid, or None.
    """

    settings: dict[str, Any]
    variant: str
    words: str
    classes: int
    channels: int
    image_size: int | None


def heads_of(width: int) -> int:
    """How many heads a published ViT of this width has, which its matrices do not show."""
    return next((row[3] for row in VIT_SIZES.values() if row[0] == width), max(width // 64, 1))


def describe_vit(sizes: Mapping[str, int], depth: int, parts: set[str]) -> Described:
    """sizes: by letter. parts: first words of the parameters that are there."""
    size = (sizes["D"], depth, sizes["F"], sizes["H"])
    name = next((name for name, row in VIT_SIZES.items() if row == size), "")
    variant = f"{name}/{sizes['P']}" if name and sizes["P"] in PATCHES else ""
    fields = dict(zip(("width", "depth", "mlp_dim", "heads", "patch"), (*size, sizes["P"]), strict=True))
    settings: dict[str, Any] = {"name": "vit"} | ({"variant": variant} if variant else fields)
    settings |= {
        "head": "token" if "token" in parts else "gap",
        "representation": "pre_logits" in parts,
        "positions": "learned",
    }
    grid = sizes["N"] - ("token" in parts)
    return Described(
        settings=settings,
        variant=variant,
        words=f"ViT{f'-{variant}' if variant else ''} ({', '.join(f'{k} {v}' for k, v in fields.items())})",
        classes=sizes.get("C", 0),
        channels=sizes["I"],
        image_size=isqrt(grid) * sizes["P"] if isqrt(grid) ** 2 == grid else None,
    )
