"""How images are made ready, as transformers' image processors read it: preprocessor_config.json.

Read as well are the config.json of timm's folders and the open_clip_config.json of open_clip's.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

from errors import UserError
from lookup import Json, Section, Value
from weights.ours import Settings

FILE = "preprocessor_config.json"
RESAMPLE = {"lanczos3": 1, "bilinear": 2, "bicubic": 3}  # Pillow's numbers
RESAMPLE_ELSEWHERE = RESAMPLE | {"lanczos": 1}


def written(data: Section) -> Json:
    """The file of a run; empty for one that reads no images, or in a way that transformers has no processor for.

    Args:
      data: its config.data.
    """
    if data["kind"] not in ("images", "boxes", "captions", "clips"):
        return {}
    height, width = data["image_size"], data.get("image_width") or data["image_size"]
    said: Json = {
        "do_resize": True,
        "resample": RESAMPLE[data.get("interpolation", "bilinear")],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(data["mean"]),
        "image_std": list(data["std"]),
    }
    if data["kind"] == "boxes":
        longest = max(height, width)
        fit = {"shortest_edge": data.get("short_side") or longest, "longest_edge": longest}
        size = fit if data["resize"] == "fit" else {"height": height, "width": width}
        return {"image_processor_type": "DetrImageProcessor", "format": "coco_detection", "size": size, **said}
    crop: Json = {"do_center_crop": True, "crop_size": {"height": height, "width": width}}
    if data["kind"] == "clips":  # the middle square of each frame
        return {"image_processor_type": "VideoMAEImageProcessor", "size": {"shortest_edge": height}, **crop, **said}
    whole, part = {"captions": ("Siglip", "CLIP")}.get(data["kind"], ("ViT", "Bit"))
    if data["eval_crop"] == "none":
        size = {"height": height, "width": width}
        return {"image_processor_type": f"{whole}ImageProcessor", "size": size, **said}
    # The middle square is the same whether it is cut before the image shrinks or after.
    return {
        "image_processor_type": f"{part}ImageProcessor",
        "size": {"shortest_edge": round(min(height, width) / data["eval_crop_share"])},
        **crop,
        "do_convert_rgb": len(data["mean"]) == 3,
        **said,
    }


def read(folder: Path, channels: int) -> tuple[Settings, tuple[str, ...]]:
    """The keys of config.data that the file in a folder of weights says, and lines for a person; nothing without one,
    or where it scales images in another way than ours, from 0 to 1.

    Args:
      channels: of the model's images.

    Raises:
      UserError: the file cannot be used.
    """
    for name, translated in READ.items():
        path = folder / name
        try:
            said = translated(json.loads(path.read_bytes())) if channels and path.is_file() else None
            if said is not None:
                return _settings(path, said, channels)
        except (LookupError, ValueError, TypeError, AttributeError, OSError, ArithmeticError, RecursionError) as error:
            raise UserError(f"{path} cannot be used ({error!r}): move it away.") from None
    return {}, ()


def _settings(path: Path, said: Json, channels: int) -> tuple[Settings, tuple[str, ...]]:
    usual = math.isclose(said.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-3)
    if not usual or said.get("offset") or not said.get("do_rescale", True):
        return {}, (f"how {path} scales images is not read: config.data.mean and std say it here",)
    found: Settings = {}
    if not said.get("do_normalize", True):
        found = {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    elif {"image_mean", "image_std"} <= said.keys():
        found = {key: tuple(float(x) for x in said[f"image_{key}"]) for key in ("mean", "std")}
    if any(len(values) != channels for values in found.values()):
        raise UserError(f"{path} normalises {len(found['mean'])} channels, and the model's images have {channels}.")
    found |= _sizes(said)
    return found, (f"images are made ready as {path} says",) if found else ()


def _timm(said: Json) -> Json | None:
    """timm's config.json in the words of transformers; older ones have no pretrained_cfg. None of another's."""
    said = said.get("pretrained_cfg", said) if "architecture" in said else {}
    if "input_size" not in said:
        return None
    _, height, width = said["input_size"]
    whole = math.floor(min(height, width) / said.get("crop_pct", 1))
    whole_size = {"center": {"shortest_edge": whole}, "squash": {"height": whole, "width": whole}}
    return {
        "image_mean": said["mean"],
        "image_std": said["std"],
        "resample": RESAMPLE_ELSEWHERE.get(said.get("interpolation", "")),
        "size": whole_size.get(said.get("crop_mode", "center")),
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
    }


def _open_clip(said: Json) -> Json | None:
    """open_clip_config.json in the words of transformers; None where it does not say it."""
    if "preprocess_cfg" not in said:
        return None
    side = said["model_cfg"]["vision_cfg"]["image_size"]
    side = side if isinstance(side, int) else 0  # height and width
    said = said["preprocess_cfg"]
    crop = said.get("resize_mode", "shortest") == "shortest"
    return {
        "image_mean": said["mean"],
        "image_std": said["std"],
        "resample": RESAMPLE_ELSEWHERE.get(said.get("interpolation", "bicubic")),
        "size": {"shortest_edge": side} if crop else {"height": side, "width": side},
        "do_center_crop": crop,
        "crop_size": side,
    }


# What reads each file, the first that says it.
READ: dict[str, Callable[[Json], Json | None]] = {
    FILE: lambda said: said,
    "config.json": _timm,
    "open_clip_config.json": _open_clip,
}


def _sizes(said: Json) -> Settings:
    """The size, crop and filter of a file that resizes images, where config.data has the like."""
    if not said.get("do_resize", True):
        return {}
    names = {number: name for name, number in RESAMPLE.items()}
    found: Settings = {"interpolation": names[said["resample"]]} if said.get("resample") in names else {}
    size, crop = (_side(said.get(key)) for key in ("size", "crop_size"))
    if said.get("do_center_crop"):
        # DeiT's stretches an image to a square before it cuts the middle: the same for images that are square.
        if crop and size and crop <= size:
            found |= {"image_size": crop, "image_width": 0, "eval_crop": "center", "eval_crop_share": crop / size}
    elif size and "shortest_edge" not in (said["size"] if isinstance(said["size"], dict) else {}):
        found |= {"image_size": size, "image_width": 0, "eval_crop": "none"}
    return found


def _side(size: Value) -> int:
    """The side of a square, or the shorter one of an image; 0 of anything else."""
    if not isinstance(size, dict):
        return int(size or 0)
    height = int(size.get("height") or size.get("shortest_edge") or 0)
    return height if size.get("width", height) == height and "longest_edge" not in size else 0


def file(data: Section) -> dict[str, bytes]:
    """The file by its name, of a run that has it. data: see `written`."""
    said = written(data)
    return {FILE: json.dumps(said, indent=2).encode()} if said else {}
