"""Weights in files, .npz and .safetensors, and in Orbax checkpoints, as a flat dict name -> array; nothing in a file
runs or leaves it."""

import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from errors import UserError
from lookup import Json
from weights import checkpoints

SUFFIXES = (".npz", ".safetensors")
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"  # of a folder
PICKLES = ("pytorch_model.bin", "diffusion_pytorch_model.bin")
TRANSFORMER, CLASS = "transformer", "_class_name"  # a pipeline's folder in diffusers, and a key of its config.json
PIPELINE = "model_index.json"  # of a pipeline, which also names the classes
POINTER = b"version https://git-lfs.github.com/spec"  # the text that stands for a file of Git LFS
LARGEST_GROWTH = 100  # times its size in the archive, that a file may come to: weights hardly compress
ALWAYS_ALLOWED = 1 << 30  # bytes, whatever they grew from


def is_published(folder: Path) -> bool:
    """Whether a folder holds weights as they are published, and not a run."""
    if not folder.is_dir() or (folder / "checkpoints").is_dir():
        return False
    inner = home(folder)
    there = [path for path in inner.iterdir() if path.suffix in SUFFIXES or path.name in (INDEX, *PICKLES)]
    return bool(there or checkpoints.is_one(inner) or model_type(folder))


def home(folder: Path) -> Path:
    """Where in a folder the weights are: in that of the transformer, if it is a pipeline of diffusers; in that of the
    state, if it is a step of Orbax's CheckpointManager."""
    inner = folder / TRANSFORMER
    if (inner / "config.json").is_file():
        return inner
    states = [] if checkpoints.is_one(folder) else [one for one in folder.iterdir() if checkpoints.is_one(one)]
    return states[0] if len(states) == 1 else folder


def model_type(path: Path) -> str:
    """What the config.json in a folder, or beside a file, calls its model; "" without one, as a run's is."""
    return _config(path, lambda config: config["model_type"] if "model_type" in config else config[CLASS])


def architecture(path: Path) -> str:
    """The class that config.json names, "BertForMaskedLM"; "" without one."""
    return _config(path, lambda config: config["architectures"][0])


def _config(path: Path, said: Callable[[Json], object]) -> str:
    try:
        return str(said(json.loads(((home(path) if path.is_dir() else path.parent) / "config.json").read_bytes())))
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return ""


def find(path: Path) -> Path:
    """The file of weights that a folder holds; a file is itself.

    Raises:
      UserError: there is none, or there are several; the line says how to mend it.
    """
    if not path.is_dir():
        return path
    path = home(path)
    if checkpoints.is_one(path):
        return path
    for name in (WHOLE, INDEX):
        if (path / name).is_file():
            return path / name
    found = sorted(one.name for one in path.iterdir() if one.suffix in SUFFIXES)
    if len(found) == 1:
        return path / found[0]
    if found:
        raise UserError(f"{path} holds several files of weights, {', '.join(found[:3])}: name one of them.")
    if pickle := next((name for name in PICKLES if (path / name).is_file()), ""):
        raise UserError(
            f"{path} holds {pickle}, a pickle, which is not loaded. Where you trust it, write it anew with PyTorch: "
            'python -c "import torch, safetensors.torch as s; s.save_file({k: v.clone() for k, v in '
            f"torch.load('{path / pickle}', weights_only=True).items()}}, '{path / WHOLE}')\""
        )
    raise UserError(f"{path} holds no weights: {WHOLE}, or {INDEX} with its parts.")


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file, of the parts that an index names, or of an Orbax checkpoint, and the notes that a
    .safetensors file carries.

    Raises:
      UserError: there is no such file, it is not what its name says, it is damaged, or unsafe to read.
    """
    if path.name.endswith(".safetensors.index.json"):
        return _parts(path), {}
    if path.suffix not in SUFFIXES and not checkpoints.is_one(path):
        raise UserError(
            f"{path} is neither .npz nor .safetensors. PyTorch's .bin, .pt and .pth are pickles, which run what they "
            "hold, and are not loaded: save them as .safetensors where you trust them."
        )
    arrays, notes = _file(path)
    # A buffer that older versions of transformers wrote: 0, 1, 2, ...
    arrays = {name: array for name, array in arrays.items() if name.split(".")[-1] != "position_ids"}
    if not arrays:
        raise UserError(f"{path} holds no arrays.")
    return arrays, notes


def _file(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if checkpoints.is_one(path):
        return checkpoints.read(path), {}
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    try:
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise UserError(f"{path} is a pointer of Git LFS, not the file itself: fetch it with git lfs pull.")
        return _npz(path) if path.suffix == ".npz" else _safetensors(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None


def names(path: Path) -> list[str]:
    """Those of the arrays in a file or an Orbax checkpoint.

    Raises:
      UserError: it is damaged.
    """
    if checkpoints.is_one(path):
        return checkpoints.names(path)
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        with safetensors.safe_open(path, framework="np") as file:
            return list(file.keys())
    except (safetensors.SafetensorError, zipfile.BadZipFile, OSError) as error:
        raise UserError(f"cannot read {path}: {error}.") from None


def write(path: Path, arrays: Mapping[str, np.ndarray], notes: Mapping[str, str]) -> None:
    """Writes a file that is there whole or not at all. notes: into a .safetensors file; a .npz has no place for them.

    Raises:
      UserError: the file exists, its suffix is neither of the two, or it cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} should end in .npz or .safetensors.")
    if path.exists():
        raise UserError(f"{path} exists: choose another name, or remove it.")
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    # The package writes the memory behind an array as it lies, so that a transposed view would be garbled silently.
    ordered = {name: np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape) for name in sorted(arrays)}
    try:
        if path.suffix == ".npz":
            with fresh.open("wb") as file:
                np.savez(file, allow_pickle=False, **ordered)
        else:
            # Without this note transformers refuses a file.
            safetensors.numpy.save_file(ordered, fresh, metadata={"format": "pt"} | dict(notes))
        os.replace(fresh, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}.") from None
    finally:
        fresh.unlink(missing_ok=True)


def _parts(index: Path) -> dict[str, np.ndarray]:
    """The arrays of all files that an index names. Each file must have exactly those that the index says."""
    try:
        places = json.loads(index.read_bytes())["weight_map"]
        names: dict[str, set[str]] = {}
        for name, part in places.items():
            names.setdefault(str(part), set()).add(name)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is no index of parts, or a damaged one ({' '.join(str(error).split())}).") from None
    except OSError as error:
        raise UserError(f"cannot read {index}: {error.strerror}.") from None
    arrays: dict[str, np.ndarray] = {}
    for part, wanted in sorted(names.items()):
        if Path(part).name != part or Path(part).suffix != ".safetensors":
            raise UserError(f"{index} is unsafe: it names {part!r}, which is no .safetensors file beside it.")
        if not (index.parent / part).is_file():
            raise UserError(f"{index} names {part}, which is not there: fetch all of its {len(names)} parts.")
        found, _ = read(index.parent / part)
        if differ := sorted(wanted ^ found.keys()):
            has = "lacks" if differ[0] in wanted else "has besides"
            raise UserError(f"{index.parent / part} {has} {differ[0]!r}, and is not the part that {index.name} is of.")
        arrays |= found
    return arrays


def _safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (safetensors.SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no .safetensors file of plain arrays, or a damaged one ({error}).") from None


def _npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive)
            arrays = {}
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
                # NumPy knows no bfloat16, and has it as two bytes of anything.
                arrays[entry.filename[:-4]] = array.view(ml_dtypes.bfloat16) if array.dtype.str == "|V2" else array
            return arrays, {}
    except (
        ValueError,
        KeyError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
        MemoryError,
    ):
        raise UserError(
            f"{path} is no archive of plain arrays, or a damaged one. Arrays of Python objects are pickles, which run "
            "what they hold, and are not loaded."
        ) from None


def _check(path: Path, archive: zipfile.ZipFile) -> None:
    """That every entry is an array, of the size that it says, under a name of its own within the archive."""
    entries = archive.infolist()
    for entry in entries:
        name = entry.filename
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise UserError(f"{path} is unsafe: its entry {name!r} leads out of the archive.")
        if not name.endswith(".npy"):
            raise UserError(f"{path} holds {name!r}, which is no array: only arrays are weights.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{path} packs {name!r} in a way that np.savez does not: write it anew.")
    if len({entry.filename for entry in entries}) < len(entries):
        raise UserError(f"{path} is unsafe: it holds two entries of one name.")
    whole = sum(entry.file_size for entry in entries)
    if whole > max(ALWAYS_ALLOWED, LARGEST_GROWTH * path.stat().st_size):
        raise UserError(
            f"{path} is unsafe: {path.stat().st_size / 1e6:,.1f} MB would grow to {whole / 1e9:,.1f} GB, and weights "
            "hardly compress."
        )
    for entry in entries:
        with archive.open(entry) as file:
            if (says := _bytes(file)) != entry.file_size:
                raise UserError(
                    f"{path} is unsafe or damaged: {entry.filename!r} says that it is {says:,} bytes, and is "
                    f"{entry.file_size:,}."
                )


def _bytes(file: IO[bytes]) -> int:
    """How long the array in a file is by its own header, which decides how much memory reading it takes."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = header(file)
    if dtype.hasobject:
        raise ValueError("a pickle")
    return file.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
