"""models/clip.py by its parameters, in CLIP's form and in SigLIP's.

Of images: D width, F MLP, H heads, P patch, E channels, N positions. Of texts: W width, G MLP, I heads, V vocabulary, T
positions. K head size, X width of what is compared.
"""

from collections.abc import Mapping
from functools import partial

from errors import UserError
from models import paths
from models.sizes import CLIP, CLIP_PATCHES
from weights import ours
from weights.ours import Described, Family, Indices, named

PROJECTIONS = ("query", "key", "value")
IMAGE_BLOCK = f"image/encoder/{paths.BLOCK_PATTERN}"
TEXT_BLOCK = f"text/encoder/{paths.BLOCK_PATTERN.replace('block:', 'layer:')}"
POOLING = "image/pooling"
NORM = ("scale", "bias")
Letters = tuple[str, str, str]  # of width, heads and MLP
OF_IMAGES: Letters = ("D", "H", "F")
OF_TEXTS: Letters = ("W", "I", "G")
HEAD_DIM = 64  # of nearly all published models, which PyTorch's matrices do not show
LENGTHS = {"clip": 77, "siglip": 64}  # of published models' texts


def _attention(ours: str, letters: Letters) -> dict[str, str]:
    width, heads, _ = letters
    return {
        **{f"{ours}/{part}/kernel": f"{width} {heads} K" for part in PROJECTIONS},
        **{f"{ours}/{part}/bias": f"{heads} K" for part in PROJECTIONS},
        f"{ours}/out/kernel": f"{heads} K {width}",
        f"{ours}/out/bias": width,
    }


def _mlp(ours: str, letters: Letters) -> dict[str, str]:
    width, _, inner = letters
    return {
        f"{ours}/expand/kernel": f"{width} {inner}",
        f"{ours}/expand/bias": inner,
        f"{ours}/contract/kernel": f"{inner} {width}",
        f"{ours}/contract/bias": width,
    }


def _encoder(block: str, letters: Letters) -> dict[str, str]:
    width = letters[0]
    return {
        **{f"{block}/{norm}/{x}": width for norm in ("attention_norm", "mlp_norm") for x in NORM},
        **_attention(f"{block}/attention", letters),
        **_mlp(f"{block}/mlp", letters),
        **{f"{block.rsplit('/', 1)[0]}/norm/{x}": width for x in NORM},
    }


def _shapes(form: str) -> dict[str, str]:
    if form == "clip":
        own = {
            "image/token": "1 1 D",
            **{f"image/embedding_norm/{x}": "D" for x in NORM},
            "image_projection/kernel": "D X",
        }
    else:
        own = {
            "image/embedding/bias": "D",
            f"{POOLING}/query": "1 1 D",
            **_attention(f"{POOLING}/attention", OF_IMAGES),
            **{f"{POOLING}/norm/{x}": "D" for x in NORM},
            **_mlp(f"{POOLING}/mlp", OF_IMAGES),
            "text_projection/bias": "X",
            "bias": "",
        }
    return {
        **own,
        "image/embedding/kernel": "P P E D",
        "image/positions/embedding": "1 N D",
        **_encoder(IMAGE_BLOCK, OF_IMAGES),
        "text/embedding/embedding": "V W",
        "text/positions": "T W",
        **_encoder(TEXT_BLOCK, OF_TEXTS),
        "text_projection/kernel": "W X",
        "scale": "",
    }


def _describe(form: str, sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    del parts
    depth, text_depth = ours.depth(indices), ours.depth(indices, "layer")
    if form == "siglip" and sizes["X"] != sizes["D"]:
        raise UserError(f"texts become {sizes['X']} numbers and images {sizes['D']}: they cannot be compared.")
    size = {
        "width": sizes["D"],
        "depth": depth,
        "mlp_dim": sizes["F"],
        "heads": sizes["H"],
        "text_width": sizes["W"],
        "text_depth": text_depth,
        "text_mlp_dim": sizes["G"],
        "text_heads": sizes["I"],
        "embedding": sizes["X"],
    }
    patch = sizes["P"]
    name = next((name for name, row in CLIP[form].items() if row == size and patch in CLIP_PATCHES), "")
    settings, words = named(
        {"clip": "CLIP", "siglip": "SigLIP"}[form], f"{name}/{patch}" if name else "", size | {"patch": patch}
    )
    return Described(
        settings={"name": "clip", "form": form, **settings, "max_length": sizes["T"]},
        variant=settings.get("variant", ""),
        words=words,
        classes=0,
        channels=sizes["E"],
        patches=sizes["N"] - (form == "clip"),
        side=patch,
    )


FAMILIES = {
    form: Family(
        words, _shapes(form), (), partial(_describe, form), "clip", lambda theirs: HEAD_DIM, {"": f"configs/{config}"}
    )
    for form, words, config in (
        ("clip", "a CLIP", "clip_coco.py:B/32"),
        ("siglip", "a SigLIP", "clip_coco.py:siglip+B/16"),
    )
}
