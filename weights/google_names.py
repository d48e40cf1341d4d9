"""The names of Google's .npz files: ViT (2010.11929), AugReg ViT and hybrids (2106.10270), BiT (1912.11370) and Mixer
(2105.01601); and big_vision's of today's ViTs. Its SigLIP is in weights/clip_names.py."""

import numpy as np

from errors import UserError
from weights import our_mixer, our_resnet, our_vit
from weights.changes import CHANNELS, ONE_PIXEL, SAME
from weights.our_resnet import UNIT, first
from weights.our_vit import BLOCK
from weights.ours import Family
from weights.tables import Change, Row, Table

# The published code computes GELU by its approximation with tanh, as flax does unless it is told otherwise.
SETTINGS = {"activation": "gelu_tanh", "norm_epsilon": 1e-6}
FIXED = "the published code has no setting for it, so that its logits will differ"
ELSEWHERE = dict.fromkeys(("activation", "norm_epsilon", "order"), FIXED)
KERNEL_BIAS, SCALE_BIAS = ("kernel", "bias"), ("scale", "bias")


def _pairs(ours: str, theirs: str, leaves: tuple[str, ...]) -> list[Row]:
    return [Row(f"{ours}/{leaf}", f"{theirs}/{leaf}", SAME) for leaf in leaves]


def _vit(attention: str, second_norm: str, mlp: str) -> tuple[Row, ...]:
    block = "Transformer/encoderblock_{block}"
    return (
        Row("token", "cls", SAME),
        *_trunk("stem"),
        *_pairs("embedding", "embedding", KERNEL_BIAS),
        Row("positions/embedding", "Transformer/posembed_input/pos_embedding", SAME),
        *_pairs(f"{BLOCK}/attention_norm", f"{block}/LayerNorm_0", SCALE_BIAS),
        *(
            row
            for part in (*our_vit.PROJECTIONS, "out")
            for row in _pairs(f"{BLOCK}/attention/{part}", f"{block}/{attention}/{part}", KERNEL_BIAS)
        ),
        *_pairs(f"{BLOCK}/mlp_norm", f"{block}/{second_norm}", SCALE_BIAS),
        *_pairs(f"{BLOCK}/mlp/expand", f"{block}/{mlp}/Dense_0", KERNEL_BIAS),
        *_pairs(f"{BLOCK}/mlp/contract", f"{block}/{mlp}/Dense_1", KERNEL_BIAS),
        *_pairs("encoder/norm", "Transformer/encoder_norm", SCALE_BIAS),
        *_pairs("pre_logits", "pre_logits", KERNEL_BIAS),
        *_pairs("head", "head", KERNEL_BIAS),
    )


def _big_vision(token: bool) -> tuple[Row, ...]:
    """Positions stand by themselves, and have none of the class token, which is added after them."""
    pooling = "MAPHead_0"
    rows = _vit("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0")
    others = tuple(
        row for row in rows if row.names[0] not in ("token", "positions/embedding") and "stem" not in row.names[0]
    )
    if token:
        return (Row("token", "cls", SAME), Row("positions/embedding", "pos_embedding", BEFORE_TOKEN), *others)
    return (
        Row("positions/embedding", "pos_embedding", SAME),
        *others,
        Row("pooling/query", f"{pooling}/probe", SAME),
        *(
            row
            for part in (*our_vit.PROJECTIONS, "out")
            for row in _pairs(
                f"pooling/attention/{part}", f"{pooling}/MultiHeadDotProductAttention_0/{part}", KERNEL_BIAS
            )
        ),
        *_pairs("pooling/norm", f"{pooling}/LayerNorm_0", SCALE_BIAS),
        *_pairs("pooling/mlp/expand", f"{pooling}/MlpBlock_0/Dense_0", KERNEL_BIAS),
        *_pairs("pooling/mlp/contract", f"{pooling}/MlpBlock_0/Dense_1", KERNEL_BIAS),
    )


def _without_token(positions: np.ndarray) -> np.ndarray:
    if np.any(positions[:, 0]):
        raise UserError("the class token has a position, and big_vision's has none: nothing was written.")
    return positions[:, 1:]


BEFORE_TOKEN = Change(
    "with a position of 0 for the class token",
    lambda a, heads: (np.concatenate([np.zeros_like(a[:, :1]), a], axis=1),),
    _without_token,
)


def _trunk(prefix: str) -> tuple[Row, ...]:
    """The ResNet of the JAX code, whose norms stand after the convolutions."""
    theirs, ours = "block{stage+1}/unit{unit+1}", f"{prefix}/{UNIT}"
    return (
        Row(f"{prefix}/root_conv/kernel", "conv_root/kernel", SAME),
        *(Row(f"{prefix}/root_norm/{x}", f"gn_root/{x}", CHANNELS) for x in SCALE_BIAS),
        Row(f"{ours}/projection/kernel", f"{theirs}/conv_proj/kernel", SAME, needed=first),
        *(Row(f"{ours}/projection_norm/{x}", f"{theirs}/gn_proj/{x}", CHANNELS, needed=first) for x in SCALE_BIAS),
        *(Row(f"{ours}/conv_{n}/kernel", f"{theirs}/conv{n}/kernel", SAME) for n in (1, 2, 3)),
        *(Row(f"{ours}/norm_{n}/{x}", f"{theirs}/gn{n}/{x}", CHANNELS) for n in (1, 2, 3) for x in SCALE_BIAS),
    )


def _bit() -> tuple[Row, ...]:
    theirs, ours = "resnet/block{stage+1}/unit{unit+1:02}", f"trunk/{UNIT}"
    norms = {"scale": "group_norm/gamma", "bias": "group_norm/beta"}
    letters = {1: "a", 2: "b", 3: "c"}
    kernel = "standardized_conv2d/kernel"
    return (
        Row("trunk/root_conv/kernel", f"resnet/root_block/{kernel}", SAME),
        Row(f"{ours}/projection/kernel", f"{theirs}/a/proj/{kernel}", SAME, needed=first),
        *(Row(f"{ours}/conv_{n}/kernel", f"{theirs}/{x}/{kernel}", SAME) for n, x in letters.items()),
        *(
            Row(f"{ours}/norm_{n}/{leaf}", f"{theirs}/{x}/{norm}", SAME)
            for n, x in letters.items()
            for leaf, norm in norms.items()
        ),
        *(Row(f"norm/{leaf}", f"resnet/{norm}", SAME) for leaf, norm in norms.items()),
        Row("head/kernel", "resnet/head/conv2d/kernel", ONE_PIXEL),
        Row("head/bias", "resnet/head/conv2d/bias", SAME),
    )


def _mixer() -> tuple[Row, ...]:
    theirs, ours = "MixerBlock_{block}", our_mixer.BLOCK
    mixing = {"token_mlp": "token_mixing", "mlp": "channel_mixing"}
    return (
        *_pairs("embedding", "stem", KERNEL_BIAS),
        *_pairs(f"{ours}/token_norm", f"{theirs}/LayerNorm_0", SCALE_BIAS),
        *_pairs(f"{ours}/mlp_norm", f"{theirs}/LayerNorm_1", SCALE_BIAS),
        *(
            row
            for mlp, name in mixing.items()
            for layer, dense in {"expand": "Dense_0", "contract": "Dense_1"}.items()
            for row in _pairs(f"{ours}/{mlp}/{layer}", f"{theirs}/{name}/{dense}", KERNEL_BIAS)
        ),
        *_pairs("norm", "pre_head_layer_norm", SCALE_BIAS),
        *_pairs("head", "head", KERNEL_BIAS),
    )


def _table(family: Family, settings: dict[str, object], rows: tuple[Row, ...]) -> Table:
    return Table("google", family, settings, ELSEWHERE, rows, family.optional)


TABLES = (
    # ViT as the files were published, and as today's flax numbers the modules of the same code.
    _table(our_vit.FAMILY, SETTINGS, _vit("MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3")),
    _table(our_vit.FAMILY, SETTINGS, _vit("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0")),
    _table(our_vit.FAMILY, SETTINGS, _big_vision(token=False)),
    Table("google", our_vit.FAMILY, SETTINGS, ELSEWHERE, _big_vision(token=True), ("pre_logits", "head")),
    _table(our_resnet.PRE, {"order": "pre"}, _bit()),
    _table(our_resnet.POST, {"order": "post"}, (*_trunk("trunk"), *_pairs("head", "head", KERNEL_BIAS))),
    _table(our_mixer.FAMILY, {"activation": "gelu_tanh"}, _mixer()),
)
