"""Sets of TensorFlow Datasets by name: of the catalogue, prepared in data_dir, or a builder of data/builders/."""

import importlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import storage
from data import labels
from data.batches import reason
from data.slices import named
from errors import UserError, installs, nearest

Tfds: TypeAlias = Any  # tensorflow_datasets has no types, and is imported only when a set is asked for

BUILDERS = Path(__file__).parent / "builders"
OWN = sorted(path.stem for path in BUILDERS.glob("*.py") if path.stem != "__init__")


def look(name: str, data_dir: str, label: str = "label") -> tuple[bool, Path, int | None]:
    """Whether a set is prepared, in which folder, and how many classes its labels have, if it has some."""
    builder = _builder(name, data_dir)
    try:
        classes = len(labels.find(label, dict(builder.info.features), name).classes)
    except UserError:  # a set of sentences
        return builder.is_prepared(), Path(builder.data_dir), None
    return builder.is_prepared(), Path(builder.data_dir), classes


def _builder(name: str, data_dir: str) -> Tfds:
    """The builder of a set, prepared or not."""
    try:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core import constants
    except ImportError as error:
        raise UserError(f"config.data.source='tfds' needs tensorflow-datasets: {installs()} ({error}).") from None
    own = name.split("/")[0].split(":")[0]
    if data_dir.startswith("s3://"):  # which TensorFlow cannot read; gs:// it reads by itself
        whole = name.split(":")[0]
        data_dir = str(storage.here(data_dir, whole)).removesuffix(f"/{whole}")
    if (BUILDERS / f"{own}.py").is_file():
        importlib.import_module(f"data.builders.{own}")
    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError:
        raise UserError(
            f"config.data.name: TFDS has no set {name!r}: {_close(name, [*tfds.list_builders(), *OWN])}"
        ) from None
    except ModuleNotFoundError as error:  # of the library that a builder of the catalogue needs
        raise UserError(f"config.data.name={name!r} needs a package that is not installed: {error}.") from None
    except Exception as error:  # a name that cannot be, or damaged files: TFDS raises anything
        where = Path(data_dir or constants.DATA_DIR, name.split(":")[0])
        damaged = f" Or its files in {where} are damaged." if where.is_dir() else ""
        raise UserError(f"config.data.name={name!r}: {one_line(error)}{damaged}") from None


def prepared(name: str, data_dir: str) -> Tfds:
    """The builder of a set that is prepared, or that can be now.

    Raises:
      UserError: there is no such set, or it cannot be prepared here.
    """
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        if data_dir and "://" not in data_dir and not Path(data_dir).expanduser().is_dir():  # which TFDS would make
            raise UserError(
                f"config.data.data_dir={data_dir}: there is no such folder. Name the one that holds {name}, or "
                f"download into this one: mkdir -p {shlex.quote(data_dir)}"
            )
        try:
            builder.download_and_prepare()
        except Exception as error:  # TFDS raises what the download raises: anything
            builder = _builder(name, data_dir)
            if builder.is_prepared():  # by another process at the same time
                return builder
            raise UserError(
                f"{name} is not prepared in {builder.data_dir} and could not be: {one_line(error)} "
                "Name the folder that holds it with --config.data.data_dir=..., or prepare it where there is a network."
            ) from None
    return builder


def split_of(info: Tfds, name: str, split: str) -> Tfds:
    """A split of a set, sliced and added to others as TFDS writes it: "train[:90%]+test".

    Raises:
      UserError: there is no such split, or no such slice.
    """
    parts = []
    for one in split.split("+"):
        part = one.split("[")[0].strip()
        if (called := named(part, info.splits)) not in info.splits:
            raise UserError(f"{name} has no split {part!r}: {nearest(part, info.splits)}")
        parts.append(called + one.strip()[len(part) :])
    split = "+".join(parts)
    try:
        return info.splits[split]
    except Exception as error:  # a slice that TFDS cannot read
        raise UserError(f"{name}: {split!r} is no slice of a split: {one_line(error)}") from None


@contextmanager
def damage_said(what: str, folder: object) -> Iterator[None]:
    """What damaged files of a set raise, as one line. TFDS and TensorFlow raise anything."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"cannot read {what}: {reason(error)} Its files in {folder} are damaged or of another version: remove "
            "that folder and prepare the set again."
        ) from None


def one_line(error: BaseException) -> str:
    """What a library says of an error, cut where it is long."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]}..."


def _close(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(close)}?" if close else "see tfds.list_builders()."
