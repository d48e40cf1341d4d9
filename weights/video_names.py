"""ViViT, VideoMAE and TimeSformer by the names of transformers (PyTorch)."""

from collections.abc import Mapping, Sequence
from functools import partial

from errors import UserError
from weights.changes import CONVOLUTION, DENSE, HEADS, HEADS_BIAS, OUT, QKV, QKV_BIAS, SAME
from weights.huggingface_names import ACTIVATIONS
from weights.our_video import CLASSIFIER, DECODER, GAP, PRETRAINING, TIMESFORMER, VIVIT
from weights.our_vit import BLOCK, PROJECTIONS
from weights.ours import Family, Settings
from weights.pytorch import class_names, labels, linear, norm
from weights.tables import Beside, Change, Json, Kind, Row, Table

SIZES = {"hidden_size": "D", "num_hidden_layers": "block", "intermediate_size": "F", "num_channels": "E"}
OF_DECODER = {
    "decoder_hidden_size": "W",
    "decoder_num_hidden_layers": "layer",
    "decoder_intermediate_size": "G",
    "decoder_num_attention_heads": "Y",
}
ATTENTIONS = {"divided": "divided_space_time", "joint": "joint_space_time", "space": "space_only"}
SPELLED = ACTIVATIONS | {"gelu_fast": "gelu_tanh"}
DATA = {"num_frames": "frames", "image_size": "image_size"}  # keys of config.data
ELSEWHERE = {"activation": "hidden_act of config.json", "norm_epsilon": "layer_norm_eps of config.json"}
# PyTorch's Conv3d (out, in, t, h, w) is Flax's Conv (t, h, w, in, out).
TUBELETS = Change("transposed", lambda a, heads: (a.transpose(2, 3, 4, 1, 0),), lambda a: a.transpose(4, 3, 0, 1, 2))


def _half(change: Change) -> Change:
    """The same for half as many heads, which every published decoder has."""
    return Change(change.name, lambda a, heads: change.ours(a, max(1, heads // 2)), change.theirs)


def _separate(ours: str, theirs: str) -> tuple[Row, ...]:
    """ViViT's query, key and value."""
    return (
        *(Row(f"{ours}/{part}/kernel", f"{theirs}.{part}.weight", HEADS) for part in PROJECTIONS),
        *(Row(f"{ours}/{part}/bias", f"{theirs}.{part}.bias", HEADS_BIAS) for part in PROJECTIONS),
    )


def _unbiased(heads: Change, bias: Change, ours: str, theirs: str) -> tuple[Row, ...]:
    """VideoMAE's, whose key has no bias."""
    return (
        *(Row(f"{ours}/{part}/kernel", f"{theirs}.{part}.weight", heads) for part in PROJECTIONS),
        *(Row(f"{ours}/{part}/bias", f"{theirs}.{part[0]}_bias", bias) for part in ("query", "value")),
    )


def _fused(ours: str, theirs: str) -> tuple[Row, ...]:
    """TimeSformer's, which are one matrix."""
    kernels, biases = (tuple(f"{ours}/{part}/{x}" for part in PROJECTIONS) for x in ("kernel", "bias"))
    return Row(kernels, f"{theirs}.qkv.weight", QKV), Row(biases, f"{theirs}.qkv.bias", QKV_BIAS)


def _layer(ours: str, theirs: str, projections: tuple[Row, ...], out: Change = OUT) -> tuple[Row, ...]:
    return (
        *norm(f"{ours}/attention_norm", f"{theirs}.layernorm_before"),
        *projections,
        *linear(f"{ours}/attention/out", f"{theirs}.attention.output.dense", out),
        *norm(f"{ours}/mlp_norm", f"{theirs}.layernorm_after"),
        *linear(f"{ours}/mlp/expand", f"{theirs}.intermediate.dense"),
        *linear(f"{ours}/mlp/contract", f"{theirs}.output.dense"),
    )


def _begin(prefix: str, embedding: Change) -> tuple[Row, ...]:
    return (
        Row("token", f"{prefix}.embeddings.cls_token", SAME),
        *linear("embedding", f"{prefix}.embeddings.patch_embeddings.projection", embedding),
        Row("positions/embedding", f"{prefix}.embeddings.position_embeddings", SAME),
    )


def _end(prefix: str) -> tuple[Row, ...]:
    return *norm("encoder/norm", f"{prefix}.layernorm"), *linear("head", "classifier")


def _vivit() -> Table:
    block = "vivit.encoder.layer.{block}"
    projections = _separate(f"{BLOCK}/attention", f"{block}.attention.attention")
    rows = (*_begin("vivit", TUBELETS), *_layer(BLOCK, block, projections), *_end("vivit"))
    ignored = {r"vivit\.pooler\.dense\.(weight|bias)": "the classifier does not use the pooler"}
    settings: Settings = {"activation": "gelu_tanh", "norm_epsilon": 1e-6}
    fixed: Settings = {"attention": "joint", "head": "token", "positions": "learned", "key_bias": True}
    return Table("huggingface", VIVIT, settings, ELSEWHERE, rows, ("head",), ignored, fixed)


def _video_mae(family: Family, more: tuple[Row, ...], optional: tuple[str, ...], fixed: Settings) -> Table:
    block = "videomae.encoder.layer.{block}"
    projections = _unbiased(HEADS, HEADS_BIAS, f"{BLOCK}/attention", f"{block}.attention.attention")
    rows = (
        *linear("embedding", "videomae.embeddings.patch_embeddings.projection", TUBELETS),
        *_layer(BLOCK, block, projections),
        *more,
    )
    settings: Settings = {"activation": "gelu", "norm_epsilon": 1e-12}
    return Table("huggingface", family, settings, ELSEWHERE, rows, optional, {}, {"attention": "joint", **GAP, **fixed})


def _classifier() -> Table:
    end = (*norm("norm", "fc_norm"), *linear("head", "classifier"))
    return _video_mae(CLASSIFIER, end, ("head",), {"head": "gap"})


def _pretraining() -> Table:
    layer = "decoder.decoder_layers.{layer}"
    own = f"{DECODER}/attention"
    projections = _unbiased(_half(HEADS), _half(HEADS_BIAS), own, f"{layer}.attention.attention")
    more = (
        *norm("norm", "videomae.layernorm"),
        Row("reconstruction/embedding/kernel", "encoder_to_decoder.weight", DENSE),
        Row("reconstruction/mask", "mask_token", SAME),
        *_layer(DECODER, layer, projections, _half(OUT)),
        *norm("reconstruction/encoder/norm", "decoder.norm"),
        *linear("reconstruction/pixels", "decoder.head"),
    )
    return _video_mae(PRETRAINING, more, ("norm",), {})


def _timesformer(attention: str) -> Table:
    block, time = "timesformer.encoder.layer.{block}", f"{BLOCK}/time_attention"
    rows = [*_begin("timesformer", CONVOLUTION)]
    if attention != "space":
        rows.append(Row("time_positions", "timesformer.embeddings.time_embeddings", SAME))
    if attention == "divided":
        rows += [
            *norm(f"{BLOCK}/time_norm", f"{block}.temporal_layernorm"),
            *_fused(time, f"{block}.temporal_attention.attention"),
            *linear(f"{time}/out", f"{block}.temporal_attention.output.dense", OUT),
            *linear(f"{BLOCK}/time_out", f"{block}.temporal_dense"),
        ]
    projections = _fused(f"{BLOCK}/attention", f"{block}.attention.attention")
    whole = (*rows, *_layer(BLOCK, block, projections), *_end("timesformer"))
    settings: Settings = {"activation": "gelu", "norm_epsilon": 1e-6}
    family, fixed = TIMESFORMER[attention], {"attention": attention}
    return Table("huggingface", family, settings, ELSEWHERE, whole, ("head",), {}, fixed)


TIMESFORMERS = {attention: _timesformer(attention) for attention in ATTENTIONS}
VIDEO_MAES = (_classifier(), _pretraining())
TABLES = (_vivit(), *VIDEO_MAES, *TIMESFORMERS.values())


def _read(biased: str, config: Json) -> Beside:
    """biased: the key that says that projections have biases."""
    if not config.get(biased, True):
        raise UserError(f"config.json says {biased}={config[biased]}, and only True can be read.")
    heads = int(config["num_attention_heads"])
    decoder = int(config.get("decoder_num_attention_heads", max(1, heads // 2)))
    if "ForPreTraining" in config.get("architectures", [""])[0] and decoder != max(1, heads // 2):
        raise UserError(
            f"config.json says decoder_num_attention_heads={decoder}, and only half the encoder's {heads} can be read."
        )
    return Beside(
        heads=heads,
        settings={"activation": SPELLED[config["hidden_act"]], "norm_epsilon": float(config["layer_norm_eps"])},
        names=class_names(config),
        data={ours: int(config[key]) for key, ours in DATA.items() if key in config},
    )


def _write(
    model_type: str, architectures: Mapping[str, str], model: Settings, names: Sequence[str], sizes: Mapping[str, int]
) -> Json:
    """architectures: by config.model.name."""
    frames, height, width, _ = model["clip"]
    written = {
        "architectures": [architectures[model["name"]]],
        "model_type": model_type,
        **{key: sizes[letter] for key, letter in SIZES.items()},
        "num_attention_heads": sizes["H"],
        "num_frames": frames,
        "image_size": height if height == width else [height, width],
        "hidden_act": {ours: theirs for theirs, ours in reversed(SPELLED.items())}[model["activation"]],
        "layer_norm_eps": model["norm_epsilon"],
        "hidden_dropout_prob": model["dropout"],
        **labels(names),
    }
    if model_type == "vivit":
        return written | {"tubelet_size": [sizes["T"], sizes["P"], sizes["P"]]}
    if model_type == "timesformer":
        return written | {"patch_size": sizes["P"], "attention_type": ATTENTIONS[model["attention"]]}
    written |= {"patch_size": sizes["P"], "tubelet_size": sizes["T"], "use_mean_pooling": not model.get("last_norm")}
    return written | {key: sizes[letter] for key, letter in OF_DECODER.items() if letter in sizes}


PATCHES = {"patch_size": "P"}
VIVIT_KIND = Kind(
    TABLES[:1], SIZES, partial(_read, "qkv_bias"), partial(_write, "vivit", {"vivit": "VivitForVideoClassification"})
)
TIMESFORMER_KIND = Kind(
    tuple(TIMESFORMERS.values()),
    SIZES | PATCHES | {"num_frames": "Z"},
    partial(_read, "qkv_bias"),
    partial(_write, "timesformer", {"timesformer": "TimesformerForVideoClassification"}),
)
VIDEO_MAE_KIND = Kind(
    VIDEO_MAES,
    SIZES | PATCHES | OF_DECODER | {"tubelet_size": "T"},
    partial(_read, "qv_bias"),
    partial(_write, "videomae", {"vivit": "VideoMAEForVideoClassification", "video_mae": "VideoMAEForPreTraining"}),
)
KINDS = {"vivit": VIVIT_KIND, "timesformer": TIMESFORMER_KIND, "videomae": VIDEO_MAE_KIND}
