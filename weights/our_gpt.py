"""models/gpt.py by its parameters, with learned positions and biases, as GPT-2 has them.

V vocabulary, N positions, D width, F MLP, H heads, K head size.
"""

from collections.abc import Mapping

from models import paths
from models.sizes import GPT
from weights import ours
from weights.ours import Described, Family, Indices, named

BLOCK = f"decoder/{paths.BLOCK_PATTERN}"
PROJECTIONS = ("query", "key", "value")
NORMS = (f"{BLOCK}/self_norm", f"{BLOCK}/mlp_norm", "decoder/norm")
SHAPES = {
    "embedding/embedding": "V D",
    "positions/embedding": "N D",
    **{f"{BLOCK}/self_attention/{part}/kernel": "D H K" for part in PROJECTIONS},
    **{f"{BLOCK}/self_attention/{part}/bias": "H K" for part in PROJECTIONS},
    f"{BLOCK}/self_attention/out/kernel": "H K D",
    f"{BLOCK}/self_attention/out/bias": "D",
    f"{BLOCK}/mlp/expand/kernel": "D F",
    f"{BLOCK}/mlp/expand/bias": "F",
    f"{BLOCK}/mlp/contract/kernel": "F D",
    f"{BLOCK}/mlp/contract/bias": "D",
    **{f"{norm}/{part}": "D" for norm in NORMS for part in ("scale", "bias")},
}


def heads_of(width: int) -> int:
    """How many heads a published GPT-2 of this width has, which its matrices do not show; 0 where there is none."""
    return next((row["heads"] for row in GPT.values() if row["width"] == width), 0)


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    del parts
    depth = ours.depth(indices)
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "heads": sizes["H"]}
    variant = next((name for name, row in GPT.items() if row == size), "")
    settings, words = named("GPT", variant, size)
    return Described(
        settings={"name": "gpt", **settings, "max_length": sizes["N"]},
        variant=variant,
        words=words,
        classes=0,
        channels=0,
    )


FAMILY = Family(
    "a GPT",
    SHAPES,
    (),
    describe,
    "gpt",
    lambda theirs: heads_of(len(theirs("decoder/norm/scale"))),
    {"": "configs/gpt2.py"},
)
