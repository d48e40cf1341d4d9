"""The names of two public Vision Transformers written in flax.nnx: that of the JAX AI Stack's tutorials, and that of
bonsai (jax-ml). Attention is nnx.MultiHeadAttention, whose kernels have linen's shapes, so that only names differ."""

from weights import our_vit
from weights.changes import SAME
from weights.our_vit import BLOCK, PROJECTIONS
from weights.tables import Row, Table

# jax.nn.gelu is the approximation with tanh unless it is told otherwise; nnx.LayerNorm has 1e-6.
STACK = {"activation": "gelu_tanh", "norm_epsilon": 1e-6}
BONSAI = {"activation": "gelu_tanh", "norm_epsilon": 1e-12}
ELSEWHERE = {"activation": "jax.nn.gelu(x, approximate=False)", "norm_epsilon": "nnx.LayerNorm(epsilon=...)"}
KERNEL_BIAS, SCALE_BIAS = ("kernel", "bias"), ("scale", "bias")


def _pairs(ours: str, theirs: str, leaves: tuple[str, ...]) -> list[Row]:
    return [Row(f"{ours}/{leaf}", f"{theirs}.{leaf}", SAME) for leaf in leaves]


def _vit(
    token: str, embedding: str, positions: str, block: str, norms: tuple[str, str], attention: str,
    mlp: tuple[str, str], norm: str,
) -> tuple[Row, ...]:  # fmt: skip
    return (
        Row("token", token, SAME),
        *_pairs("embedding", embedding, KERNEL_BIAS),
        Row("positions/embedding", positions, SAME),
        *_pairs(f"{BLOCK}/attention_norm", f"{block}.{norms[0]}", SCALE_BIAS),
        *(
            row
            for part in (*PROJECTIONS, "out")
            for row in _pairs(f"{BLOCK}/attention/{part}", f"{block}.{attention}.{part}", KERNEL_BIAS)
        ),
        *_pairs(f"{BLOCK}/mlp_norm", f"{block}.{norms[1]}", SCALE_BIAS),
        *_pairs(f"{BLOCK}/mlp/expand", f"{block}.{mlp[0]}", KERNEL_BIAS),
        *_pairs(f"{BLOCK}/mlp/contract", f"{block}.{mlp[1]}", KERNEL_BIAS),
        *_pairs("encoder/norm", norm, SCALE_BIAS),
        *_pairs("head", "classifier", KERNEL_BIAS),
    )


_STACK = _vit(
    token="cls_token",
    embedding="patch_embeddings",
    positions="position_embeddings",
    block="encoder.layers.{block}",
    norms=("norm1", "norm2"),
    attention="attn",
    mlp=("mlp.layers.0", "mlp.layers.3"),
    norm="final_norm",
)
_BONSAI = _vit(
    token="pos_embeddings.cls_token",
    embedding="pos_embeddings.projection",
    positions="pos_embeddings.pos_embeddings",
    block="layers.{block}",
    norms=("layernorm_before", "layernorm_after"),
    attention="attention",
    mlp=("linear1", "linear2"),
    norm="ln",
)
TABLES = tuple(
    Table("nnx", our_vit.FAMILY, settings, ELSEWHERE, rows, optional=("head",))
    for settings, rows in ((STACK, _STACK), (BONSAI, _BONSAI))
)
