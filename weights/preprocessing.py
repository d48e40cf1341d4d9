"""How images are made ready, as transformers' image processors read it: preprocessor_config.json."""

import json
import math
from pathlib import Path

from errors import UserError
from lookup import Json, Section, Value
from weights.ours import Settings

FILE = "preprocessor_config.json"
RESAMPLE = {"lanczos3": 1, "bilinear": 2, "bicubic": 3}  # Pillow's numbers


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
    path = folder / FILE
    try:
        if not channels or not path.is_file():
            return {}, ()
        said = json.loads(path.read_bytes())
        usual = math.isclose(said.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-3)
        if not usual or said.get("offset") or not said.get("do_rescale", True):
            return {}, (f"how {path} scales images is not read: config.data.mean and std say it here",)
        if not said.get("do_normalize", True):
            found: Settings = {"mean": (0.0,) * channels, "std": (1.0,) * channels}
        elif {"image_mean", "image_std"} <= said.keys():
            found = {key: tuple(float(x) for x in said[f"image_{key}"]) for key in ("mean", "std")}
        else:
            found = {}
        sizes = _sizes(said)
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be used ({error}): move it away.") from None
    if any(len(values) != channels for values in found.values()):
        raise UserError(f"{path} normalises {len(found['mean'])} channels, and the model's images have {channels}.")
    found |= sizes
    return found, (f"images are made ready as {path} says",) if found else ()


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
