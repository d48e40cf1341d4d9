"""Swin and Swin V2 by the names of timm and transformers, which merge at the other end of a stage."""

from collections.abc import Mapping, Sequence
from functools import partial

from errors import UserError
from models import sizes as sizes_of
from weights.changes import BY_SIZE, BY_SIZE_BIAS, BY_SIZE_OUT, BY_SIZE_QKV, BY_SIZE_QKV_BIAS, CONVOLUTION, DENSE, SAME
from weights.our_swin import BLOCK, FAMILIES, MERGING, PROJECTIONS
from weights.ours import Settings
from weights.pytorch import class_names, labels, linear, norm, require
from weights.tables import Beside, Change, Json, Kind, Row, Table

SETTINGS: dict[str, Settings] = {"1": {}, "2": {"window": 8}}  # the window of V2 is in no shape
ELSEWHERE = {"window": "timm.create_model(..., window_size=...)"}
SCALE = Change("reshaped", lambda a, heads: (a.reshape(-1),), lambda a: a.reshape(-1, 1, 1))
COMPUTED = r".*\.(relative_position_index|relative_coords_table|attn_mask|attn\.k_bias)"


def _bias(version: str, table: str, scale: str, network: str) -> tuple[Row, ...]:
    """How attention knows of distances; and V2's scale. Their names of each."""
    own = f"{BLOCK}/attention"
    if version == "1":
        return (Row(f"{own}/bias/embedding", table, SAME),)
    return (
        Row(f"{own}/scale", scale, SCALE),
        *linear(f"{own}/bias/expand", f"{network}.0"),
        Row(f"{own}/bias/contract/kernel", f"{network}.2.weight", DENSE),
    )


def _timm(version: str) -> Table:
    block, merging, own = "layers.{stage}.blocks.{unit}", "layers.{stage+1}.downsample", f"{BLOCK}/attention"
    biases: tuple[Row, ...] = (
        Row(tuple(f"{own}/{part}/bias" for part in PROJECTIONS), f"{block}.attn.qkv.bias", BY_SIZE_QKV_BIAS),
    )
    if version == "2":
        biases = tuple(
            Row(f"{own}/{part}/bias", f"{block}.attn.{part[0]}_bias", BY_SIZE_BIAS) for part in ("query", "value")
        )
    at = f"{block}.attn"
    rows = (
        *linear("trunk/embedding", "patch_embed.proj", CONVOLUTION),
        *norm("trunk/embedding_norm", "patch_embed.norm"),
        *norm(f"{BLOCK}/attention_norm", f"{block}.norm1"),
        Row(tuple(f"{own}/{part}/kernel" for part in PROJECTIONS), f"{at}.qkv.weight", BY_SIZE_QKV),
        *biases,
        *_bias(version, f"{at}.relative_position_bias_table", f"{at}.logit_scale", f"{at}.cpb_mlp"),
        *linear(f"{own}/out", f"{at}.proj", BY_SIZE_OUT),
        *norm(f"{BLOCK}/mlp_norm", f"{block}.norm2"),
        *linear(f"{BLOCK}/mlp/expand", f"{block}.mlp.fc1"),
        *linear(f"{BLOCK}/mlp/contract", f"{block}.mlp.fc2"),
        *norm(f"{MERGING}/norm", f"{merging}.norm"),
        Row(f"{MERGING}/reduction/kernel", f"{merging}.reduction.weight", DENSE),
        *norm("norm", "norm"),
        *linear("head", "head.fc"),
    )
    return _table("timm", version, rows)


def trunk_rows(prefix: str, version: str) -> tuple[Row, ...]:
    """All but the last norm and the head, by the names of transformers, which begin with a prefix."""
    stage, own = f"{prefix}.encoder.layers.{{stage}}", f"{BLOCK}/attention"
    block = f"{stage}.blocks.{{unit}}"
    at = f"{block}.attention.self"
    biased = PROJECTIONS if version == "1" else ("query", "value")
    return (
        *linear("trunk/embedding", f"{prefix}.embeddings.patch_embeddings.projection", CONVOLUTION),
        *norm("trunk/embedding_norm", f"{prefix}.embeddings.norm"),
        *norm(f"{BLOCK}/attention_norm", f"{block}.layernorm_before"),
        *(Row(f"{own}/{part}/kernel", f"{at}.{part}.weight", BY_SIZE) for part in PROJECTIONS),
        *(Row(f"{own}/{part}/bias", f"{at}.{part}.bias", BY_SIZE_BIAS) for part in biased),
        *_bias(
            version,
            f"{at}.relative_position_bias_table",
            f"{at}.logit_scale",
            f"{at}.continuous_position_bias_mlp",
        ),
        *linear(f"{own}/out", f"{block}.attention.output.dense", BY_SIZE_OUT),
        *norm(f"{BLOCK}/mlp_norm", f"{block}.layernorm_after"),
        *linear(f"{BLOCK}/mlp/expand", f"{block}.intermediate.dense"),
        *linear(f"{BLOCK}/mlp/contract", f"{block}.output.dense"),
        *norm(f"{MERGING}/norm", f"{stage}.downsample.norm"),
        Row(f"{MERGING}/reduction/kernel", f"{stage}.downsample.reduction.weight", DENSE),
    )


def _huggingface(version: str) -> Table:
    prefix = "swin" if version == "1" else "swinv2"
    rows = (*trunk_rows(prefix, version), *norm("norm", f"{prefix}.layernorm"), *linear("head", "classifier"))
    return _table("huggingface", version, rows)


def _table(scheme: str, version: str, rows: tuple[Row, ...]) -> Table:
    ignored = {COMPUTED: "computed from the window's side"}
    elsewhere = ELSEWHERE if scheme == "timm" else {"window": "Swinv2Config(window_size=...)"}
    fixed: Settings = {"version": version}
    return Table(scheme, FAMILIES[version], SETTINGS[version], elsewhere, rows, ("head",), ignored, fixed)


TIMM = tuple(map(_timm, FAMILIES))
HUGGINGFACE = {version: _huggingface(version) for version in FAMILIES}
TABLES = (*TIMM, *HUGGINGFACE.values())
SIZES = {"embed_dim": "D0", "patch_size": "P", "num_channels": "E"}
# Keys of config.json that are one thing in every published model, which is what they are where they are missing.
ALWAYS = {"hidden_act": "gelu", "mlp_ratio": 4.0, "qkv_bias": True, "use_absolute_embeddings": False}
EPSILON = 1e-5


def _read(version: str, config: Json) -> Beside:
    require(config, ALWAYS)
    if any(config.get("pretrained_window_sizes", ())):
        raise UserError(
            f"config.json says pretrained_window_sizes={config['pretrained_window_sizes']}: distances are shares of "
            "another window than its own, and only a Swin V2 of one window can be read."
        )
    settings: Settings = {"window": int(config["window_size"])} if version == "2" else {}
    return Beside(settings=settings, names=class_names(config))


def _write(version: str, model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    prefix, kind = ("Swin", "swin") if version == "1" else ("Swinv2", "swinv2")
    depths = list(model["depths"] or sizes_of.SWIN[model["variant"]][1])
    return {
        "architectures": [f"{prefix}ForImageClassification"],
        "model_type": kind,
        **{key: sizes[letter] for key, letter in SIZES.items()},
        **ALWAYS,
        "depths": depths,
        "num_heads": [sizes[f"H{stage}"] for stage in range(len(depths))],
        "window_size": model["window"],
        "layer_norm_eps": EPSILON,
        "drop_path_rate": model["stochastic_depth"],
        **labels(names),
    }


SWIN, SWIN_V2 = (
    Kind((HUGGINGFACE[version],), SIZES, partial(_read, version), partial(_write, version)) for version in FAMILIES
)
KINDS = {"swin": SWIN, "swinv2": SWIN_V2}
