"""DINOv2 (2304.07193) and DINOv3 (2508.10104) by the names of transformers, and DINOv2 by timm's."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from errors import UserError
from weights.changes import CONVOLUTION, HEADS, HEADS_BIAS, OUT, QKV, QKV_BIAS, SAME
from weights.our_dinov2 import BLOCK, FAMILIES
from weights.our_vit import PROJECTIONS
from weights.ours import Settings
from weights.pytorch import linear, norm, require
from weights.tables import Beside, Change, Json, Kind, Row, Table

EPSILON = {2: 1e-6, 3: 1e-5}
ELSEWHERE = {
    "huggingface": {
        "norm_epsilon": "Dinov2Config or DINOv3ViTConfig(layer_norm_eps=...)",
        "rotary_base": "DINOv3ViTConfig(rope_theta=...)",
    },
    "timm": {"norm_epsilon": "timm.create_model(..., norm_layer=functools.partial(torch.nn.LayerNorm, eps=...))"},
}
IGNORED = {
    r"(embeddings\.)?mask_token": "it stands for hidden patches, only in pre-training",
    r"classifier\.(weight|bias)": "it reads the mean of the patches too, which a ViT's head does not",
    r"rope_embeddings\..*": "computed from the number of patches",
}
# Two layers as one: first the gate, then what it multiplies.
GATED = Change(
    "split in two, transposed",
    lambda a, heads: tuple(part.T for part in np.split(a, 2)),
    lambda gate, other: np.concatenate([gate.T, other.T]),
)
GATED_BIAS = Change("split in two", lambda a, heads: tuple(np.split(a, 2)), lambda *parts: np.concatenate(parts))


def _without_token(table: np.ndarray) -> np.ndarray:
    if table[:, :1].any():
        raise UserError("timm's DINOv2 with registers has no position of the class token, and this model has one.")
    return table[:, 1:]


# timm adds the class token's position to the token itself.
PATCHES_ALONE = Change(
    "with a class token's, which is 0",
    lambda a, heads: (np.concatenate([np.zeros_like(a[:, :1]), a], axis=1),),
    _without_token,
)


def _packed(theirs: str) -> tuple[Row, Row]:
    """The layers before the activation, kept as one."""
    kernels, biases = (tuple(f"{BLOCK}/mlp/{part}/{x}" for part in ("gate", "expand")) for x in ("kernel", "bias"))
    return Row(kernels, f"{theirs}.weight", GATED), Row(biases, f"{theirs}.bias", GATED_BIAS)


def _projections(names: Mapping[str, str], biased: Sequence[str]) -> tuple[Row, ...]:
    own = f"{BLOCK}/attention"
    kernels = (Row(f"{own}/{part}/kernel", f"{names[part]}.weight", HEADS) for part in PROJECTIONS)
    biases = (Row(f"{own}/{part}/bias", f"{names[part]}.bias", HEADS_BIAS) for part in biased)
    return (*kernels, *biases)


def _second(gated: bool) -> Table:
    block = "encoder.layer.{block}"
    mlp = _packed(f"{block}.mlp.weights_in") if gated else linear(f"{BLOCK}/mlp/expand", f"{block}.mlp.fc1")
    rows = (
        Row("token", "embeddings.cls_token", SAME),
        Row("registers", "embeddings.register_tokens", SAME),
        *linear("embedding", "embeddings.patch_embeddings.projection", CONVOLUTION),
        Row("positions/embedding", "embeddings.position_embeddings", SAME),
        *norm(f"{BLOCK}/attention_norm", f"{block}.norm1"),
        *_projections({part: f"{block}.attention.attention.{part}" for part in PROJECTIONS}, PROJECTIONS),
        *linear(f"{BLOCK}/attention/out", f"{block}.attention.output.dense", OUT),
        Row(f"{BLOCK}/attention_scale", f"{block}.layer_scale1.lambda1", SAME),
        *norm(f"{BLOCK}/mlp_norm", f"{block}.norm2"),
        *mlp,
        *linear(f"{BLOCK}/mlp/contract", f"{block}.mlp.{'weights_out' if gated else 'fc2'}"),
        Row(f"{BLOCK}/mlp_scale", f"{block}.layer_scale2.lambda1", SAME),
        *norm("encoder/norm", "layernorm"),
    )
    return _table("huggingface", 2, rows, gated)


def _third(gated: bool) -> Table:
    block = "layer.{block}"
    names = {part: f"{block}.attention.{part[0]}_proj" for part in PROJECTIONS}
    rows = (
        Row("token", "embeddings.cls_token", SAME),
        Row("registers", "embeddings.register_tokens", SAME),
        *linear("embedding", "embeddings.patch_embeddings", CONVOLUTION),
        *norm(f"{BLOCK}/attention_norm", f"{block}.norm1"),
        *_projections(names, ("query", "value")),
        *linear(f"{BLOCK}/attention/out", f"{block}.attention.o_proj", OUT),
        Row(f"{BLOCK}/attention_scale", f"{block}.layer_scale1.lambda1", SAME),
        *norm(f"{BLOCK}/mlp_norm", f"{block}.norm2"),
        *(linear(f"{BLOCK}/mlp/gate", f"{block}.mlp.gate_proj") if gated else ()),
        *linear(f"{BLOCK}/mlp/expand", f"{block}.mlp.up_proj"),
        *linear(f"{BLOCK}/mlp/contract", f"{block}.mlp.down_proj"),
        Row(f"{BLOCK}/mlp_scale", f"{block}.layer_scale2.lambda1", SAME),
        *norm("encoder/norm", "norm"),
    )
    return _table("huggingface", 3, rows, gated)


def _timm(registers: bool) -> Table:
    block = "blocks.{block}"

    def three(x: str) -> tuple[str, ...]:
        return tuple(f"{BLOCK}/attention/{part}/{x}" for part in PROJECTIONS)

    rows = (
        Row("token", "cls_token", SAME),
        *([Row("registers", "reg_token", SAME)] if registers else []),
        *linear("embedding", "patch_embed.proj", CONVOLUTION),
        Row("positions/embedding", "pos_embed", PATCHES_ALONE if registers else SAME),
        *norm(f"{BLOCK}/attention_norm", f"{block}.norm1"),
        Row(three("kernel"), f"{block}.attn.qkv.weight", QKV),
        Row(three("bias"), f"{block}.attn.qkv.bias", QKV_BIAS),
        *linear(f"{BLOCK}/attention/out", f"{block}.attn.proj", OUT),
        Row(f"{BLOCK}/attention_scale", f"{block}.ls1.gamma", SAME),
        *norm(f"{BLOCK}/mlp_norm", f"{block}.norm2"),
        *linear(f"{BLOCK}/mlp/expand", f"{block}.mlp.fc1"),
        *linear(f"{BLOCK}/mlp/contract", f"{block}.mlp.fc2"),
        Row(f"{BLOCK}/mlp_scale", f"{block}.ls2.gamma", SAME),
        *norm("encoder/norm", "norm"),
    )
    return _table("timm", 2, rows, False, ())


def _table(
    scheme: str, version: int, rows: tuple[Row, ...], gated: bool, optional: tuple[str, ...] = ("registers",)
) -> Table:
    activation = {"activation": "swiglu" if gated else "gelu"}
    settings: Settings = {"norm_epsilon": EPSILON[version]} | ({"rotary_base": 100.0} if version == 3 else {})
    return Table(
        scheme,
        FAMILIES[version],
        settings,
        ELSEWHERE[scheme],
        rows,
        optional,
        IGNORED,
        activation,
    )


SECOND, THIRD = tuple(map(_second, (False, True))), tuple(map(_third, (False, True)))
TABLES = (*SECOND, *THIRD, *map(_timm, (False, True)))
SIZES = {
    "hidden_size": "D",
    "num_hidden_layers": "block",
    "patch_size": "P",
    "num_channels": "E",
    "num_register_tokens": "T",
}
# Keys of config.json that are one thing in every published model, which is what they are where they are missing.
ALWAYS: dict[int, Json] = {
    2: {"qkv_bias": True},
    3: {"query_bias": True, "key_bias": False, "value_bias": True, "proj_bias": True, "mlp_bias": True},
}


def _read(version: int, config: Json) -> Beside:
    gated = config.get("use_gated_mlp", False)
    require(config, ALWAYS[version] | {"hidden_act": "silu" if gated else "gelu"})
    settings: Settings = {"norm_epsilon": float(config["layer_norm_eps"])}
    if version == 3:
        return Beside(int(config["num_attention_heads"]), settings | {"rotary_base": float(config["rope_theta"])})
    rows = int(config["image_size"]) // int(config["patch_size"])
    return Beside(int(config["num_attention_heads"]), settings, grid=(rows, rows))


def _write(version: int, model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    del names
    registers, gated = sizes.get("T", 0), "G" in sizes
    found: Json = {key: sizes[letter] for key, letter in SIZES.items() if letter in sizes}
    found |= {**ALWAYS[version], "num_attention_heads": sizes["H"], "layer_norm_eps": model["norm_epsilon"]}
    found |= {"hidden_act": "gelu", "layerscale_value": model["layer_scale"]}
    if version == 3:
        activation = "silu" if gated else "gelu"
        about = {"intermediate_size": sizes["F"], "rope_theta": model["rotary_base"], "num_register_tokens": registers}
        about |= {"use_gated_mlp": gated, "hidden_act": activation}
        return {"architectures": ["DINOv3ViTModel"], "model_type": "dinov3_vit", **found, **about}
    (rows, columns), ratio = model["grid"], sizes["F"] / sizes["D"]
    if rows != columns:
        raise UserError(f"a DINOv2 of transformers has square images, and this model's have {rows}x{columns} patches.")
    kind = "dinov2_with_registers" if registers else "dinov2"
    return {
        "architectures": ["Dinov2WithRegistersModel" if registers else "Dinov2Model"],
        "model_type": kind,
        **found,
        "image_size": rows * sizes["P"],
        "mlp_ratio": 4 if gated else (int(ratio) if ratio.is_integer() else ratio),
        "use_swiglu_ffn": gated,
    }


DINOV2 = Kind(SECOND, SIZES, partial(_read, 2), partial(_write, 2))
DINOV3 = Kind(THIRD, SIZES | {"intermediate_size": "F"}, partial(_read, 3), partial(_write, 3))
KINDS = {"dinov2": DINOV2, "dinov2_with_registers": DINOV2, "dinov3_vit": DINOV3}
