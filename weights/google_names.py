"""The names of google-research/vision_transformer's .npz files: ViT (2010.11929) and AugReg ViT (2106.10270)."""

from weights.changes import SAME
from weights.ours import BLOCK, VIT_OPTIONAL
from weights.tables import Row, Table

# The published code computes GELU by its approximation with tanh, as flax does unless it is told otherwise.
SETTINGS = {"activation": "gelu_tanh", "norm_epsilon": 1e-6}
ELSEWHERE = {
    "activation": "models_vit.py has no setting for it, so that its logits will differ",
    "norm_epsilon": "models_vit.py has no setting for it, so that its logits will differ",
}


def _vit(attention: str, second_norm: str, mlp: str) -> tuple[Row, ...]:
    block = "Transformer/encoderblock_{block}"
    pairs = {
        "token": "cls",
        "embedding/kernel": "embedding/kernel",
        "embedding/bias": "embedding/bias",
        "positions/embedding": "Transformer/posembed_input/pos_embedding",
        **{f"{BLOCK}/attention_norm/{x}": f"{block}/LayerNorm_0/{x}" for x in ("scale", "bias")},
        **{
            f"{BLOCK}/attention/{part}/{x}": f"{block}/{attention}/{part}/{x}"
            for part in ("query", "key", "value", "out")
            for x in ("kernel", "bias")
        },
        **{f"{BLOCK}/mlp_norm/{x}": f"{block}/{second_norm}/{x}" for x in ("scale", "bias")},
        **{f"{BLOCK}/mlp/expand/{x}": f"{block}/{mlp}/Dense_0/{x}" for x in ("kernel", "bias")},
        **{f"{BLOCK}/mlp/contract/{x}": f"{block}/{mlp}/Dense_1/{x}" for x in ("kernel", "bias")},
        **{f"encoder/norm/{x}": f"Transformer/encoder_norm/{x}" for x in ("scale", "bias")},
        **{f"{part}/{x}": f"{part}/{x}" for part in ("pre_logits", "head") for x in ("kernel", "bias")},
    }
    return tuple(Row(ours, theirs, SAME) for ours, theirs in pairs.items())


TABLES = (
    # As the files were published, and as today's flax numbers the modules of the same code.
    Table(
        "google",
        "vit",
        SETTINGS,
        ELSEWHERE,
        _vit("MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3"),
        VIT_OPTIONAL,
    ),
    Table(
        "google",
        "vit",
        SETTINGS,
        ELSEWHERE,
        _vit("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0"),
        VIT_OPTIONAL,
    ),
)
