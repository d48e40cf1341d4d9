"""Which scheme the names in a file are of."""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np

from errors import UserError
from weights import (
    bert_names,
    clip_names,
    detr_names,
    dinov2_names,
    dit_names,
    files,
    google_names,
    gpt_names,
    huggingface_names,
    marian_names,
    swin_names,
    t5_names,
    timm_names,
    video_names,
)
from weights.tables import Table

TABLES = (
    *google_names.TABLES,
    *timm_names.TABLES,
    *huggingface_names.TABLES,
    *marian_names.TABLES,
    *t5_names.TABLES,
    *gpt_names.TABLES,
    *bert_names.TABLES,
    *swin_names.TABLES,
    *detr_names.TABLES,
    *dinov2_names.TABLES,
    *clip_names.TABLES,
    *video_names.TABLES,
    *dit_names.TABLES,
)
SCHEMES = tuple(dict.fromkeys(table.scheme for table in TABLES))
LONGEST_PREFIX = 3  # words that wrappers put before a name: "state_dict.module.backbone."


def table(names: Collection[str], likely: Collection[Table] = ()) -> Table:
    """The table that these names fit best; one of the likely ones where others fit as well."""
    return max(TABLES, key=lambda one: (one.fit(names), one in likely))


def schemes_of(name: str) -> list[str]:
    """Those with names of this config.model.name; none where names do not show it."""
    return list(dict.fromkeys(table.scheme for table in TABLES if table.family.name == name))


def family(path: Path) -> str:
    """config.model.name of what the names in a file are of, of CLIP its form; "" where they do not show it."""
    try:
        names = files.names(path) if path.suffix in files.SUFFIXES and path.is_file() else []
    except UserError:  # which reading the file says
        return ""
    arrays = {name.replace("/encoderblock/", "/encoderblock_0/"): np.zeros(()) for name in names}  # see `respelled`
    names = list(without_prefix(arrays)[0])
    found = table(names)
    return str(found.fixed.get("form", found.family.name)) if names and found.recognises(names) else ""


def respelled(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by today's names: the first BERT that was published has TensorFlow's for a norm's scale and bias, and
    big_vision's models can have the layers of an encoder stacked."""
    new = {"gamma": "weight", "beta": "bias"}
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        before, stacked, after = name.partition("/encoderblock/")
        if stacked and array.ndim:
            found |= {f"{before}/encoderblock_{layer}/{after}": part for layer, part in enumerate(array)}
        else:
            found[re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda m: new[m[1]], name)] = array
    return found


def without_prefix(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """The arrays without what a wrapper has put before most names, and that: "module.", "backbone.", "state_dict."

    Names that are known stay as they are, and so do those that no prefix makes known.
    """

    def known(names: Collection[str]) -> bool:
        return table(names).recognises(names)

    depth = 0 if known(arrays) else LONGEST_PREFIX
    for parts in range(1, depth + 1):
        begins = [found[0] for name in arrays if (found := re.match(rf"(?:[^./]+[./]){{{parts}}}", name))]
        for prefix, _ in Counter(begins).most_common(1):
            shorter = {name.removeprefix(prefix): array for name, array in arrays.items()}
            if len(shorter) == len(arrays) and known(shorter):
                return shorter, prefix
    return arrays, ""
