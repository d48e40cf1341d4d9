"""How images are made ready, as transformers' image processors read it: preprocessor_config.json."""

import json

from lookup import Json, Section

FILE = "preprocessor_config.json"
RESAMPLE = {"lanczos3": 1, "bilinear": 2, "bicubic": 3}  # Pillow's numbers


def written(data: Section) -> Json:
    """The file of a run; empty for one that reads no images, or in a way that transformers has no processor for.

    Args:
      data: its config.data.
    """
    if data["kind"] not in ("images", "boxes"):
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
    if data["eval_crop"] == "none":
        return {"image_processor_type": "ViTImageProcessor", "size": {"height": height, "width": width}, **said}
    # The middle square, of which nothing is lost, is the same whether it is cut before the image shrinks or after.
    return {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": round(min(height, width) / data["eval_crop_share"])},
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_convert_rgb": len(data["mean"]) == 3,
        **said,
    }


def file(data: Section) -> dict[str, bytes]:
    """The file by its name, of a run that has it. data: see `written`."""
    said = written(data)
    return {FILE: json.dumps(said, indent=2).encode()} if said else {}
