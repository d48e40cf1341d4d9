"""The names of transformers (PyTorch): ViTForImageClassification, DeiTForImageClassificationWithTeacher, ViTModel with
its pooler, and the encoder of ViTMAEForPreTraining. A DeiT without distillation is published as a ViT."""

from collections.abc import Mapping, Sequence
from functools import partial

from weights import our_vit
from weights.changes import CONVOLUTION, DENSE, HEADS, HEADS_BIAS, OUT, SAME
from weights.our_vit import BLOCK, PROJECTIONS
from weights.ours import Settings
from weights.pytorch import class_names, labels, linear
from weights.tables import Beside, Json, Kind, Row, Table

SETTINGS = {"activation": "gelu", "norm_epsilon": 1e-12}
ELSEWHERE = {
    "activation": 'ViTConfig(hidden_act="gelu_pytorch_tanh" | "relu")',
    "norm_epsilon": "ViTConfig(layer_norm_eps=...)",
}
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
SIZES = {
    "hidden_size": "D",
    "num_hidden_layers": "block",
    "intermediate_size": "F",
    "patch_size": "P",
    "num_channels": "E",
}


def _encoder(prefix: str) -> tuple[Row, ...]:
    block = prefix + "encoder.layer.{block}"
    return (
        Row("token", f"{prefix}embeddings.cls_token", SAME),
        Row("embedding/kernel", f"{prefix}embeddings.patch_embeddings.projection.weight", CONVOLUTION),
        Row("embedding/bias", f"{prefix}embeddings.patch_embeddings.projection.bias", SAME),
        Row("positions/embedding", f"{prefix}embeddings.position_embeddings", SAME),
        Row(f"{BLOCK}/attention_norm/scale", f"{block}.layernorm_before.weight", SAME),
        Row(f"{BLOCK}/attention_norm/bias", f"{block}.layernorm_before.bias", SAME),
        *(
            row
            for part in PROJECTIONS
            for row in (
                Row(f"{BLOCK}/attention/{part}/kernel", f"{block}.attention.attention.{part}.weight", HEADS),
                Row(f"{BLOCK}/attention/{part}/bias", f"{block}.attention.attention.{part}.bias", HEADS_BIAS),
            )
        ),
        Row(f"{BLOCK}/attention/out/kernel", f"{block}.attention.output.dense.weight", OUT),
        Row(f"{BLOCK}/attention/out/bias", f"{block}.attention.output.dense.bias", SAME),
        Row(f"{BLOCK}/mlp_norm/scale", f"{block}.layernorm_after.weight", SAME),
        Row(f"{BLOCK}/mlp_norm/bias", f"{block}.layernorm_after.bias", SAME),
        Row(f"{BLOCK}/mlp/expand/kernel", f"{block}.intermediate.dense.weight", DENSE),
        Row(f"{BLOCK}/mlp/expand/bias", f"{block}.intermediate.dense.bias", SAME),
        Row(f"{BLOCK}/mlp/contract/kernel", f"{block}.output.dense.weight", DENSE),
        Row(f"{BLOCK}/mlp/contract/bias", f"{block}.output.dense.bias", SAME),
        Row("encoder/norm/scale", f"{prefix}layernorm.weight", SAME),
        Row("encoder/norm/bias", f"{prefix}layernorm.bias", SAME),
    )


def _table(rows: tuple[Row, ...], optional: tuple[str, ...] = (), decoder: bool = False) -> Table:
    unused = {r"(vit|deit)\.pooler\.dense\.(weight|bias)": "the classifier does not use the pooler"}
    unused |= {r"decoder\..*": "of the decoder, which only pre-training has"} if decoder else {}
    return Table("huggingface", our_vit.FAMILY, SETTINGS, ELSEWHERE, rows, optional, unused)


TABLES = (
    _table(_encoder("vit.") + linear("head", "classifier")),
    _table(
        (
            *_encoder("deit."),
            Row("distillation_token", "deit.embeddings.distillation_token", SAME),
            *linear("head", "cls_classifier"),
            *linear("distillation_head", "distillation_classifier"),
        )
    ),
    _table(_encoder("") + linear("pre_logits", "pooler.dense"), optional=("pre_logits",)),
    _table(_encoder("vit."), decoder=True),
)


def _read(config: Json) -> Beside:
    grid = None
    if {"image_size", "patch_size"} <= config.keys():
        image, patch = _pair(config["image_size"]), _pair(config["patch_size"])
        grid = (image[0] // patch[0], image[1] // patch[1])
    return Beside(
        heads=int(config["num_attention_heads"]),
        settings={
            "activation": ACTIVATIONS[config["hidden_act"]],
            "norm_epsilon": float(config["layer_norm_eps"]),
        },
        names=class_names(config),
        grid=grid,
    )


def _pair(value: int | list[int]) -> tuple[int, int]:
    """A height and a width, which are one number where they are the same."""
    height, width = value if isinstance(value, list) else (value, value)
    return int(height), int(width)


def _write(model_type: str, architecture: str, model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    rows, columns = model["grid"]
    return {
        "architectures": [architecture if names else "ViTModel"],
        "model_type": model_type,
        **{key: sizes[letter] for key, letter in SIZES.items()},
        "num_attention_heads": sizes["H"],
        "image_size": rows * sizes["P"] if rows == columns else [rows * sizes["P"], columns * sizes["P"]],
        "hidden_act": {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}[model["activation"]],
        "layer_norm_eps": model["norm_epsilon"],
        "hidden_dropout_prob": model["dropout"],
        **labels(names),
    }


MAE = Kind((TABLES[3], TABLES[2]), SIZES, _read, partial(_write, "vit", "ViTModel"))
VIT = Kind((TABLES[0], TABLES[2]), SIZES, _read, partial(_write, "vit", "ViTForImageClassification"))
DEIT = Kind((TABLES[1],), SIZES, _read, partial(_write, "deit", "DeiTForImageClassificationWithTeacher"))
KINDS = {"vit": VIT, "deit": DEIT, "vit_mae": MAE}
