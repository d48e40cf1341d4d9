"""models/transformer.py by its parameters, with one matrix for both embeddings and the output layer.

V vocabulary, D width, F MLP, H heads, K head size.
"""

from collections.abc import Mapping

from models import paths
from models.sizes import TRANSFORMER
from weights import ours
from weights.ours import Described, Family, Indices, Settings, named

ENCODER = f"encoder/{paths.BLOCK_PATTERN}"
DECODER = f"decoder/{paths.BLOCK_PATTERN.replace('block:', 'layer:')}"  # there may be more or fewer
PROJECTIONS = ("query", "key", "value")


def _attention(name: str) -> dict[str, str]:
    return {
        **{f"{name}/{part}/kernel": "D H K" for part in PROJECTIONS},
        **{f"{name}/{part}/bias": "H K" for part in PROJECTIONS},
        f"{name}/out/kernel": "H K D",
        f"{name}/out/bias": "D",
    }


def _rest(block: str, *norms: str) -> dict[str, str]:
    return {
        **{f"{block}/{norm}/{part}": "D" for norm in norms for part in ("scale", "bias")},
        f"{block}/mlp/expand/kernel": "D F",
        f"{block}/mlp/expand/bias": "F",
        f"{block}/mlp/contract/kernel": "F D",
        f"{block}/mlp/contract/bias": "D",
    }


SHAPES = {
    "embedding/embedding": "V D",
    "logits_bias": "V",
    **_attention(f"{ENCODER}/attention"),
    **_rest(ENCODER, "attention_norm", "mlp_norm"),
    **_attention(f"{DECODER}/self_attention"),
    **_attention(f"{DECODER}/cross_attention"),
    **_rest(DECODER, "self_norm", "cross_norm", "mlp_norm"),
}


def describe(sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """The model of these sizes by letter, indices and parts: see ours.Family."""
    depth, decoder_depth = ours.depth(indices), ours.depth(indices, "layer")
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "heads": sizes["H"]}
    variant = next((name for name, row in TRANSFORMER.items() if row == size), "")
    fields: Settings = size | ({} if decoder_depth == depth else {"decoder_depth": decoder_depth})
    settings, words = named("Transformer", variant, fields)
    if decoder_depth != depth:
        settings["decoder_depth"] = decoder_depth
    return Described(
        settings={"name": "transformer", **settings, "tie": "all", "output_bias": "logits_bias" in parts},
        variant=variant,
        words=words,
        classes=0,
        channels=0,
    )


CONFIGS = {"": "configs/transformer_opus.py"}
FAMILY = Family("a Transformer", SHAPES, ("logits_bias",), describe, "transformer", configs=CONFIGS)
