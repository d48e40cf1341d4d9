"""Which scheme the names in a file are of."""

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np

from errors import UserError
from weights import files
from weights.ours import Family
from weights.tables import Table

# Nothing is registered: a file NAME_names.py with TABLES is found.
MODULES = tuple(
    importlib.import_module(f"weights.{module.name}")
    for module in pkgutil.iter_modules([str(Path(__file__).parent)])
    if module.name.endswith("_names")
)
TABLES: tuple[Table, ...] = tuple(table for module in MODULES for table in module.TABLES)
MODELS = tuple(dict.fromkeys(table.family.name for table in TABLES))  # config.model.name
SCHEMES = tuple(sorted({table.scheme for table in TABLES}))
LONGEST_PREFIX = 3  # words that wrappers put before a name: "state_dict.module.backbone."


def table(names: Collection[str], likely: Collection[Table] = ()) -> Table:
    """The table that these names fit best; one of the likely ones where others fit as well."""
    return max(TABLES, key=lambda one: (one.fit(names), one in likely))


def schemes_of(name: str) -> list[str]:
    """Those with names of this config.model.name."""
    return list(dict.fromkeys(table.scheme for table in TABLES if table.family.name == name))


def configs_of(name: str) -> list[str]:
    """The configs of runs that are made of weights of this config.model.name."""
    families = [table.family for table in TABLES if table.family.name == name]
    return list(dict.fromkeys(config for family in families for config in family.configs.values()))


def families_by_config() -> dict[str, list[str]]:
    """By config, the words for the families whose weights become a run of it, with the end of the class that
    config.json names where it decides: {"configs/gpt2.py": ["a GPT"]}."""
    found: dict[str, dict[str, None]] = {}
    for one in (table.family for table in TABLES):
        for end, config in one.configs.items():
            found.setdefault(config, {})[f"{one.words} {end}".rstrip()] = None
    return {config: list(words) for config, words in found.items()}


def family(path: Path) -> Family | None:
    """What the names in a file are of; None where they do not show it."""
    try:
        path = files.find(path)
        names = files.names(path) if path.suffix in files.SUFFIXES or path.is_dir() else []
    except UserError:  # which reading the file says
        return None
    arrays = {name.replace("/encoderblock/", "/encoderblock_0/"): np.zeros(()) for name in names}  # see `respelled`
    names = list(without_prefix(arrays)[0])
    found = table(names)
    return found.family if found.recognises(names) and names else None


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
