"""UPerNet on a Swin by the names of transformers."""

from collections.abc import Mapping, Sequence

from errors import UserError
from models import sizes as sizes_of
from weights import swin_names
from weights.changes import CONVOLUTION, ONE_PIXEL_OUT, SAME
from weights.our_upernet import FAMILY, SCALES, STRIDES
from weights.ours import Settings
from weights.pytorch import STATISTICS, class_names, labels, linear, norm, require
from weights.tables import Beside, Json, Kind, Row, Table

SIZES = {"hidden_size": "G"}
# Keys of config.json that are one thing in every published model, which is what they are where they are missing.
ALWAYS = {"pool_scales": list(SCALES), "auxiliary_num_convs": 1, "auxiliary_concat_input": False}
STAGES = [f"stage{number + 1}" for number in range(len(STRIDES))]


def _convolution(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        Row(f"{ours}/conv/kernel", f"{theirs}.conv.weight", CONVOLUTION),
        *(Row(f"{ours}/norm/{x}", f"{theirs}.batch_norm.{y}", SAME) for x, y in STATISTICS.items()),
    )


def _rows() -> tuple[Row, ...]:
    rows = list(swin_names.trunk_rows("backbone", "1"))
    for number, stage in enumerate(STAGES):
        rows += norm(f"trunk_norm_{number}", f"backbone.hidden_states_norms.{stage}")
    for number, scale in enumerate(SCALES):
        rows += _convolution(f"pooled_{scale}", f"decode_head.psp_modules.{number}.1")
    for number in range(len(STRIDES) - 1):
        rows += _convolution(f"lateral_{number}", f"decode_head.lateral_convs.{number}")
        rows += _convolution(f"output_{number}", f"decode_head.fpn_convs.{number}")
    rows += _convolution("bottleneck", "decode_head.bottleneck")
    rows += _convolution("fusion", "decode_head.fpn_bottleneck")
    rows += linear("head", "decode_head.classifier", ONE_PIXEL_OUT)
    rows += _convolution("auxiliary", "auxiliary_head.convs.0")
    rows += linear("auxiliary_head", "auxiliary_head.classifier", ONE_PIXEL_OUT)
    return tuple(rows)


IGNORED = {
    r".*\.num_batches_tracked": "a counter of the training of batch statistics",
    r"backbone\.(swin\.)?layernorm\.(weight|bias)": "the norm of a classifier, which the maps do not pass",
    swin_names.COMPUTED: "computed from the window's side",
}
FIXED: Settings = {"norm": "frozen", "scales": SCALES, "logits": "interpolated"}
TABLE = Table("huggingface", FAMILY, {}, {}, _rows(), FAMILY.optional, IGNORED, FIXED)
TABLES = (TABLE,)


def _read(config: Json) -> Beside:
    require(config, ALWAYS)
    trunk = config.get("backbone_config") or {}
    if trunk.get("model_type", "swin") != "swin":
        raise UserError(f"config.json says a backbone of {trunk['model_type']}, and only a Swin can be read.")
    require(trunk, swin_names.ALWAYS | {"out_features": STAGES})
    return Beside(names=class_names(config))


def _write(model: Settings, names: Sequence[str], sizes: Mapping[str, int]) -> Json:
    trunk = model["trunk"] if isinstance(model["trunk"], Mapping) else vars(model["trunk"])
    return {
        "architectures": ["UperNetForSemanticSegmentation"],
        "model_type": "upernet",
        **{key: sizes[letter] for key, letter in SIZES.items()},
        **ALWAYS,
        "use_auxiliary_head": bool(model["auxiliary"]),
        "auxiliary_channels": sizes_of.AUXILIARY_WIDTH,
        "auxiliary_in_channels": sizes["D2"],
        "backbone_config": {
            "model_type": "swin",
            **{key: sizes[letter] for key, letter in swin_names.SIZES.items()},
            **swin_names.ALWAYS,
            "depths": list(trunk.get("depths") or sizes_of.SWIN[trunk["variant"]][1]),
            "num_heads": [sizes[f"H{stage}"] for stage in range(len(STRIDES))],
            "window_size": trunk["window"],
            "layer_norm_eps": swin_names.EPSILON,
            "drop_path_rate": trunk.get("stochastic_depth", 0.0),
            "out_features": STAGES,
        },
        **labels(names),
    }


CONFIG = Kind(TABLES, SIZES, _read, _write)
KINDS = {"upernet": CONFIG}
