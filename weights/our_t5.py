"""models/t5.py by its parameters.

V vocabulary, D width, F MLP, H heads, K head size, R buckets of distances.
"""

from collections.abc import Mapping

from models import paths
from models.sizes import T5
from weights import ours
from weights.ours import Described, Family, Indices, Settings, named

ENCODER = f"encoder/{paths.BLOCK_PATTERN}"
DECODER = f"decoder/{paths.BLOCK_PATTERN.replace('block:', 'layer:')}"  # there may be more or fewer
PROJECTIONS = ("query", "key", "value")


def _block(block: str, attentions: tuple[str, ...], norms: tuple[str, ...]) -> dict[str, str]:
    return {
        **{f"{block}/{name}/{part}/kernel": "D H K" for name in attentions for part in PROJECTIONS},
        **{f"{block}/{name}/out/kernel": "H K D" for name in attentions},
        **{f"{block}/{norm}/scale": "D" for norm in norms},
        f"{block}/mlp/gate/kernel": "D F",
        f"{block}/mlp/expand/kernel": "D F",
        f"{block}/mlp/contract/kernel": "F D",
    }


SHAPES = {
    "embedding/embedding": "V D",
    "encoder_relative/embedding": "R H",
    "decoder_relative/embedding": "R H",
    **_block(ENCODER, ("attention",), ("attention_norm", "mlp_norm")),
    **_block(DECODER, ("self_attention", "cross_attention"), ("self_norm", "cross_norm", "mlp_norm")),
    "encoder/norm/scale": "D",
    "decoder/norm/scale": "D",
    "head/kernel": "D V",
}


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    depth, decoder_depth = ours.depth(indices), ours.depth(indices, "layer")
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "heads": sizes["H"], "head_dim": sizes["K"]}
    version = "1.1" if "head" in parts else "1.0"
    variant = next((name for name, row in T5[version].items() if row == size), "")
    more: Settings = {} if decoder_depth == depth else {"decoder_depth": decoder_depth}
    settings, words = named(f"T5 v{version}", variant, size | more)
    return Described(
        settings={"name": "t5", "version": version, **settings, **more, "buckets": sizes["R"]},
        variant=variant,
        words=words,
        classes=0,
        channels=0,
    )


FAMILY = Family(
    "a T5",
    SHAPES,
    ("head",),
    describe,
    "t5",
    lambda theirs: theirs("encoder_relative/embedding").shape[-1],
    {"": "configs/transformer_opus.py"},
)
