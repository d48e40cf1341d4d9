"""What is known of weights besides their arrays: notes within a .safetensors file, and Hugging Face's config.json."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from errors import UserError, nearest
from weights import files, schemes
from weights.ours import Settings
from weights.tables import Beside, Json, Kind, Table

POSITIONS = ("max_length", "first_position")  # of a BERT whose positions begin in the middle of their table
NUMBERS = ("norm_epsilon", "mlp_norm_epsilon", "rotary_base")
# By the model_type of config.json, or the _class_name of diffusers.
KINDS: dict[str, Kind] = {
    name: kind for module in schemes.MODULES for name, kind in getattr(module, "KINDS", {}).items()
}


def read(path: Path, said: Mapping[str, str], table: Table) -> Beside:
    """said: the notes within the file, which `said` below wrote.

    Raises:
      UserError: config.json is of a model that is not known here, or of another than the names in the file.
    """
    try:
        if "attend" in said:
            own = json.loads(said["attend"])
            settings: Settings = {"activation": str(own["activation"])} if "activation" in own else {}
            settings |= {key: int(own[key]) for key in POSITIONS if key in own}
            settings |= {key: float(own[key]) for key in NUMBERS if key in own}
            rows, columns = own.get("grid", (0, 0))
            grid = (int(rows), int(columns)) if "grid" in own else None
            note = f"{', '.join(['heads', *settings])} as the file itself says"
            return Beside(int(own["heads"]), settings, notes=(note,), grid=grid)
        found = config(path)
        if table.scheme != "huggingface" or not found:
            return Beside()
        own = kind_of(path, found, table)
        if "model_type" not in found and not own.sizes.keys() & found.keys() and "hidden_act" not in found:
            return Beside()  # another's config.json
        beside = own.read(found)
        return beside._replace(
            notes=(*beside.notes, f"heads, activation and classes as {path.parent / 'config.json'} says")
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, RecursionError) as error:
        raise UserError(f"what stands beside the weights of {path} cannot be used ({error!r}): move it away.") from None


def tables(path: Path) -> tuple[Table, ...]:
    """Those of the model_type of the config.json beside a file."""
    try:
        kind = KINDS.get(_called(config(path)))
    except (ValueError, TypeError, OSError, RecursionError):
        return ()  # which `read` says
    return kind.tables if kind else ()


def config(path: Path) -> Json:
    """The config.json beside a file; empty where there is none.

    Raises:
      ValueError: it is no JSON object.
    """
    other = path.parent / "config.json"
    if not other.is_file():
        return {}
    found = json.loads(other.read_bytes())
    if not isinstance(found, dict):
        raise ValueError("config.json is no JSON object")
    pipeline = path.parent.parent / files.PIPELINE
    if files.CLASS in found and pipeline.is_file():
        found["id2label"] = json.loads(pipeline.read_bytes()).get("id2label", {})
    return found


def unknown(path: Path) -> str:
    """Why the config.json beside a file is of no use, if it is of a model that is not known here; "" otherwise."""
    try:
        name = _called(config(path))
    except (ValueError, OSError, RecursionError):
        return ""  # which `read` says
    if not name or name in KINDS:
        return ""
    return f"{path.parent / 'config.json'} is of a model_type={name!r}, which is not known here: {nearest(name, KINDS)}"


def kind_of(path: Path, found: Json, table: Table) -> Kind:
    """What a config.json is of: its model_type or, where it has none, the model that the names are of.

    Raises:
      UserError: it is of another model than the names, or of one that is not known here.
    """
    if why := unknown(path):
        raise UserError(why)
    own = KINDS.get(_called(found)) or kind(table)
    if table not in own.tables:
        raise UserError(
            f"{path.parent / 'config.json'} is of a model_type={_called(found)!r}, and the weights beside it have "
            f"the names of {table.family.words}."
        )
    return own


def kind(table: Table) -> Kind:
    """That of the models with these names."""
    return next(kind for kind in KINDS.values() if table in kind.tables)


def default_config(path: Path) -> str:
    """The config of a run that is made of the weights at a path, as config.json or, of a model that reads images, a
    file's names show it; "" where neither does."""
    if called := files.model_type(path):
        family = KINDS[called].tables[0].family if called in KINDS else None
    else:
        family = schemes.family(path)
        if family and family.reads_text and not any(name.startswith("image/") for name in family.shapes):
            family = None  # its tokenizer would be in a folder with config.json
    architecture = files.architecture(path)
    configs = family.configs.items() if family else ()
    return next((config for end, config in configs if architecture.endswith(end)), "")


def _called(config: Json) -> str:
    """What a config.json calls its model: transformers has a model_type, diffusers the name of a class."""
    return config.get("model_type") or config.get(files.CLASS) or ""


def check(path: Path, table: Table, sizes: Mapping[str, int]) -> None:
    """That weights have the sizes that config.json says. sizes: by the letter of shapes, or the index of names.

    Raises:
      UserError: they have others.
    """
    try:
        found = config(path) if table.scheme == "huggingface" else {}
    except (ValueError, OSError, RecursionError):
        return  # which `read` says, where the file does not say it itself
    for key, letter in kind_of(path, found, table).sizes.items() if found else ():
        if isinstance(found.get(key), int) and letter in sizes and found[key] != sizes[letter]:
            raise UserError(
                f"{path.parent / 'config.json'} says {key}={found[key]}, and the weights beside it have "
                f"{sizes[letter]}: they are not of one model."
            )


def exists(path: Path) -> bool:
    """Whether there is a config.json beside a file."""
    return (path.parent / "config.json").is_file()


def said(leaves: Mapping[str, np.ndarray], model: Settings) -> dict[str, str]:
    """The notes that make a Transformer's file readable again without a guess; other models need none."""
    query = next((leaf for name, leaf in leaves.items() if name.endswith("attention/query/kernel")), None)
    keys = ("activation", "norm_epsilon", "mlp_norm_epsilon")
    settings: Settings = {key: model[key] for key in keys if key in model}
    if query is None or not {"activation", "mlp_norm_epsilon"} & settings.keys():
        return {}
    if model.get("first_position"):
        settings |= {key: model[key] for key in POSITIONS}
    if model.get("positions") == "rotary" and "rotary_base" in model:
        settings["rotary_base"] = model["rotary_base"]
    rows, columns = model.get("grid") or (0, 0)
    if rows != columns:
        settings["grid"] = [rows, columns]
    # Two towers have other numbers of heads, which are of one size.
    heads = query.shape[2 if any(name.startswith("text/") for name in leaves) else 1]
    return {"attend": json.dumps({"heads": heads} | settings)}
