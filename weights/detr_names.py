"""DETR by the names of transformers, whose ResNet has those of timm."""

from collections.abc import Mapping, Sequence

from errors import UserError
from models.sizes import RESNET_DEPTHS
from weights import our_detr
from weights.changes import CONVOLUTION, HEADS, HEADS_BIAS, ONE_PIXEL_OUT, OUT, SAME
from weights.our_detr import DECODER, ENCODER, FAMILY, PROJECTIONS, UNIT
from weights.ours import Settings
from weights.pytorch import STATISTICS, class_names, labels, linear, norm, require
from weights.tables import Beside, Json, Kind, Row, Table

TRUNK = "model.backbone.conv_encoder.model"
SIZES = {
    "d_model": "D",
    "encoder_layers": "block",
    "decoder_layers": "layer",
    "encoder_ffn_dim": "F",
    "decoder_ffn_dim": "F",
    "num_queries": "Q",
    "num_channels": "E",
}
# Keys of config.json that are one thing in every published model, which is what they are where they are missing.
ALWAYS = {"activation_function": "relu", "dilation": False, "position_embedding_type": "sine"}


def _first(index: Mapping[str, int]) -> bool:
    return index["unit"] == 0


def _attention(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        *(Row(f"{ours}/{part}/kernel", f"{theirs}.{part[0]}_proj.weight", HEADS) for part in PROJECTIONS),
        *(Row(f"{ours}/{part}/bias", f"{theirs}.{part[0]}_proj.bias", HEADS_BIAS) for part in PROJECTIONS),
        Row(f"{ours}/out/kernel", f"{theirs}.out_proj.weight", OUT),
        Row(f"{ours}/out/bias", f"{theirs}.out_proj.bias", SAME),
    )


def _layer(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        *_attention(f"{ours}/attention", f"{theirs}.self_attn"),
        *norm(f"{ours}/attention_norm", f"{theirs}.self_attn_layer_norm"),
        *linear(f"{ours}/mlp/expand", f"{theirs}.fc1"),
        *linear(f"{ours}/mlp/contract", f"{theirs}.fc2"),
        *norm(f"{ours}/mlp_norm", f"{theirs}.final_layer_norm"),
    )


def _trunk() -> tuple[Row, ...]:
    unit = f"{TRUNK}.layer{{stage+1}}.{{unit}}"
    rows = [Row("trunk/root_conv/kernel", f"{TRUNK}.conv1.weight", CONVOLUTION)]
    rows += [Row(f"trunk/root_norm/{x}", f"{TRUNK}.bn1.{their}", SAME) for x, their in STATISTICS.items()]
    for name in "123":
        rows.append(Row(f"{UNIT}/conv_{name}/kernel", f"{unit}.conv{name}.weight", CONVOLUTION))
        rows += [Row(f"{UNIT}/norm_{name}/{x}", f"{unit}.bn{name}.{y}", SAME) for x, y in STATISTICS.items()]
    rows.append(Row(f"{UNIT}/conv_projection/kernel", f"{unit}.downsample.0.weight", CONVOLUTION, _first))
    rows += [
        Row(f"{UNIT}/norm_projection/{x}", f"{unit}.downsample.1.{y}", SAME, _first) for x, y in STATISTICS.items()
    ]
    return tuple(rows)


decoder = "model.decoder.layers.{layer}"
ROWS = (
    *_trunk(),
    Row("projection/kernel", "model.input_projection.weight", ONE_PIXEL_OUT),
    Row("projection/bias", "model.input_projection.bias", SAME),
    Row("queries", "model.query_position_embeddings.weight", SAME),
    *_layer(ENCODER, "model.encoder.layers.{block}"),
    *_layer(DECODER, decoder),
    *_attention(f"{DECODER}/cross_attention", f"{decoder}.encoder_attn"),
    *norm(f"{DECODER}/cross_attention_norm", f"{decoder}.encoder_attn_layer_norm"),
    *norm("norm", "model.decoder.layernorm"),
    *linear("class_head", "class_labels_classifier"),
    *linear("box_head/hidden_0", "bbox_predictor.layers.0"),
    *linear("box_head/hidden_1", "bbox_predictor.layers.1"),
    *linear("box_head/out", "bbox_predictor.layers.2"),
)
IGNORED = {r".*\.num_batches_tracked": "a counter of the training of batch statistics"}
FIXED: Settings = {"queries_from": "learned", "attention": "plain", "no_object": True, "denoising": 0}
TABLE = Table("huggingface", FAMILY, {}, {}, ROWS, (), IGNORED, FIXED)
TABLES = (TABLE,)


def _read(config: Json) -> Beside:
    require(config, ALWAYS)
    heads = {int(config.get(f"{part}_attention_heads", our_detr.HEADS)) for part in ("encoder", "decoder")}
    if len(heads) > 1:
        raise UserError(
            f"config.json says {sorted(heads)} heads of encoder and decoder, and only one number can be read."
        )
    return Beside(heads=heads.pop(), names=class_names(config))


def _write(model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    trunk = model["trunk"]
    variant = trunk["variant"] if isinstance(trunk, dict) else trunk.variant
    if variant not in RESNET_DEPTHS:
        raise UserError("transformers opens a DETR whose ResNet has a published size: config.model.trunk.variant=50.")
    return {
        "architectures": ["DetrForObjectDetection"],
        "model_type": "detr",
        **{key: sizes[letter] for key, letter in SIZES.items()},
        **ALWAYS,
        "encoder_attention_heads": sizes["H"],
        "decoder_attention_heads": sizes["H"],
        "dropout": model["dropout"],
        "use_timm_backbone": True,
        "use_pretrained_backbone": False,
        "backbone": f"resnet{variant}",
        **labels(names),
    }


CONFIG = Kind(TABLES, SIZES, _read, _write)
KINDS = {"detr": CONFIG}
