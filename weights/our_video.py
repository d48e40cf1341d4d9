"""models/vivit.py (joint attention), models/video_mae.py and models/timesformer.py by their parameters.

D width, F MLP, H heads, K head size, T frames of a tubelet, P side of it or of a patch, Z frames of a clip, E channels,
N positions, C classes; of VideoMAE's decoder W width, G MLP, Y heads, L head size, X numbers of a tubelet.
"""

from collections.abc import Mapping
from functools import partial

from models import paths
from models.sizes import TUBELETS, VIT, VIT_PATCHES
from weights import our_vit, ours
from weights.our_vit import BLOCK
from weights.ours import Described, Family, Indices, Settings, named

LAYERS = {name: letters for name, letters in our_vit.SHAPES.items() if name.startswith(BLOCK)}
DECODER = f"reconstruction/encoder/{paths.BLOCK_PATTERN.replace('block:', 'layer:')}"  # there are fewer
TUBELET = {"embedding/kernel": "T P P E D", "embedding/bias": "D"}
HEAD = {"head/kernel": "D C", "head/bias": "C"}
GAP: Settings = {"positions": "sinusoid_1d", "key_bias": False}  # of VideoMAE


def _norm(name: str, letter: str = "D") -> dict[str, str]:
    return {f"{name}/{x}": letter for x in ("scale", "bias")}


def _without_key_bias(layers: Mapping[str, str]) -> dict[str, str]:
    return {name: letters for name, letters in layers.items() if not name.endswith("attention/key/bias")}


def _of_decoder(layers: Mapping[str, str]) -> dict[str, str]:
    """The same layers with the decoder's sizes."""
    letters = str.maketrans("DFHK", "WGYL")
    return {name.replace(BLOCK, DECODER): shape.translate(letters) for name, shape in layers.items()}


def _in_time(layers: Mapping[str, str]) -> dict[str, str]:
    """Those of `layers` that a TimeSformer has a second time, for time."""
    there = {name: letters for name, letters in layers.items() if "/attention" in name}
    again = {name.replace("/attention", "/time_attention"): letters for name, letters in there.items()}
    return {
        **{name.replace("time_attention_norm", "time_norm"): letters for name, letters in again.items()},
        f"{BLOCK}/time_out/kernel": "D D",
        f"{BLOCK}/time_out/bias": "D",
    }


def _size(sizes: Mapping[str, int], indices: Indices) -> tuple[str, dict[str, int]]:
    """The name of the published size, "" where it is none, and the sizes."""
    depth = ours.depth(indices)
    size = {"width": sizes["D"], "depth": depth, "mlp_dim": sizes["F"], "heads": sizes["H"]}
    name = next((name for name, row in VIT.items() if row == size and sizes["P"] in VIT_PATCHES), "")
    return name, size | {"patch": sizes["P"]}


def _of_tubelets(
    words: str,
    settings: Settings,
    sizes: Mapping[str, int],
    indices: Indices,
    parts: set[str],
) -> Described:
    """A ViViT or a VideoMAE of these sizes by letter, indices and parts: see ours.Family."""
    name, fields = _size(sizes, indices)
    variant = f"{name}/{sizes['P']}x{sizes['T']}" if name and sizes["T"] in TUBELETS else ""
    size, described = named(words, variant, fields | {"tubelet": sizes["T"]})
    if settings["name"] == "video_mae":
        depth = ours.depth(indices, "layer")
        size |= {"decoder_width": sizes["W"], "decoder_depth": depth, "decoder_heads": sizes["Y"]}
        size |= {"last_norm": "norm" in parts}
    return Described(settings | size, variant, described, sizes.get("C", 0), sizes["E"])


def _of_frames(attention: str, sizes: Mapping[str, int], indices: Indices, parts: set[str]) -> Described:
    """A TimeSformer, likewise."""
    del parts
    name, fields = _size(sizes, indices)
    variant = f"{name}/{sizes['P']}" if name else ""
    size, described = named("TimeSformer", variant, fields)
    settings = {"name": "timesformer", "attention": attention, **size}
    return Described(settings, variant, described, sizes.get("C", 0), sizes["E"])


MASKED = {"": "configs/video_kinetics400.py:video_mae"}
_GAP_SIDE = {**TUBELET, **_without_key_bias(LAYERS), **_norm("norm")}
HEADS = our_vit.FAMILY.heads
VIVIT = Family(
    "a ViViT",
    {"token": "1 1 D", **TUBELET, "positions/embedding": "1 N D", **LAYERS, **_norm("encoder/norm"), **HEAD},
    ("head",),
    partial(_of_tubelets, "ViViT", {"name": "vivit", "head": "token", "positions": "learned"}),
    "vivit",
    HEADS,
    {"": "configs/video_kinetics400.py:vivit"},
)
CLASSIFIER = Family(
    "a VideoMAE's classifier",
    _GAP_SIDE | HEAD,
    ("head",),
    partial(_of_tubelets, "VideoMAE", {"name": "vivit", "head": "gap", **GAP}),
    "vivit",
    HEADS,
    MASKED,
)
PRETRAINING = Family(
    "a VideoMAE",
    {
        **_GAP_SIDE,
        "reconstruction/embedding/kernel": "D W",
        "reconstruction/mask": "1 1 W",
        **_of_decoder(_without_key_bias(LAYERS)),
        **_norm("reconstruction/encoder/norm", "W"),
        "reconstruction/pixels/kernel": "W X",
        "reconstruction/pixels/bias": "X",
    },
    ("norm",),
    partial(_of_tubelets, "VideoMAE", {"name": "video_mae", **GAP}),
    "video_mae",
    HEADS,
    MASKED,
)
FRAMES = {
    "token": "1 1 D",
    "embedding/kernel": "P P E D",
    "embedding/bias": "D",
    "positions/embedding": "1 N D",
    **LAYERS,
    **_norm("encoder/norm"),
    **HEAD,
}
PLACES_IN_TIME = {"time_positions": "1 Z D"}
TIMESFORMER = {
    attention: Family(
        "a TimeSformer",
        FRAMES | more,
        ("head",),
        partial(_of_frames, attention),
        "timesformer",
        HEADS,
        {"": "configs/video_kinetics400.py:timesformer"},
    )
    for attention, more in (
        ("divided", PLACES_IN_TIME | _in_time(LAYERS)),
        ("joint", PLACES_IN_TIME),
        ("space", {}),
    )
}
