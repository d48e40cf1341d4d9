"""What is known of weights besides their arrays: notes within a .safetensors file, and Hugging Face's config.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from errors import UserError
from weights.ours import Settings
from weights.tables import Table

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


class Beside(NamedTuple):
    """heads: H or None. settings: of config.model. names: of the classes. notes: for a person. grid: rows and columns
    of an image's patches, or None."""

    heads: int | None = None
    settings: Settings = {}
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None


def read(path: Path, said: Mapping[str, str], table: Table) -> Beside:
    """said: the notes within the file, which `said` below wrote."""
    try:
        if "attend" in said:
            own = json.loads(said["attend"])
            settings = {"activation": str(own["activation"]), "norm_epsilon": float(own["norm_epsilon"])}
            grid = _pair(own["grid"]) if "grid" in own else None
            return Beside(int(own["heads"]), settings, notes=("heads and GELU as the file itself says",), grid=grid)
        other = path.parent / "config.json"
        if table.scheme != "huggingface" or not other.is_file():
            return Beside()
        config = json.loads(other.read_text())
        if "hidden_act" not in config:
            return Beside()  # another's config.json
        labels = config.get("id2label", {})
        settings = {
            "activation": ACTIVATIONS[config["hidden_act"]],
            "norm_epsilon": float(config["layer_norm_eps"]),
        }
        names = tuple(str(labels[str(i)]) for i in range(len(labels)))
        grid = None
        if {"image_size", "patch_size"} <= config.keys():
            image, patch = _pair(config["image_size"]), _pair(config["patch_size"])
            grid = (image[0] // patch[0], image[1] // patch[1])
        notes = (f"heads, GELU and classes as {other} says",)
        return Beside(int(config["num_attention_heads"]), settings, names, notes, grid)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError) as error:
        raise UserError(f"what stands beside the weights of {path} cannot be used ({error!r}): move it away.") from None


def _pair(value: Any) -> tuple[int, int]:
    """A height and a width, which are one number where they are the same."""
    height, width = value if isinstance(value, list) else (value, value)
    return int(height), int(width)


def said(leaves: Mapping[str, np.ndarray], model: Settings) -> dict[str, str]:
    """The notes that make a Transformer's file readable again without a guess; other models need none."""
    query = next((leaf for name, leaf in leaves.items() if name.endswith("attention/query/kernel")), None)
    if query is None:
        return {}
    settings = {key: model[key] for key in ("activation", "norm_epsilon")}
    rows, columns = model.get("grid") or (0, 0)
    if rows != columns:
        settings["grid"] = [rows, columns]
    return {"attend": json.dumps({"heads": query.shape[1]} | settings)}
