"""Our parameters go under another scheme's names: `write` into a file, `write_folder` as transformers opens it."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from errors import UserError, nearest
from models.sinusoids import sinusoid_1d, sinusoid_2d
from weights import beside, files
from weights.moves import Move, first, letters, moves, vocabulary
from weights.ours import Settings
from weights.schemes import SCHEMES, TABLES
from weights.tables import Table, spell
from weights.trees import Leaf, Leaves, flat, unstacked


def numbered(params: Mapping[str, Leaf], vocabulary: Mapping[str, int], order: np.ndarray) -> Leaves:
    """Flat parameters with their tokens in another order.

    Args:
      vocabulary: see Weights.
      order: int (V,), which token comes to each place.
    """
    leaves = flat(params)
    return leaves | {name: np.take(leaves[name], order, axis) for name, axis in vocabulary.items() if name in leaves}


def write(
    path: Path | str, params: Mapping[str, Leaf], scheme: str, model: Settings, order: np.ndarray | None = None
) -> tuple[tuple[Move, ...], list[str]]:
    """Writes our parameters under another scheme's names, whole or not at all.

    Args:
      path: of the file; its suffix decides the format.
      params: nested or flat; scanned blocks are written out.
      scheme: one of SCHEMES.
      model: the config.model of the parameters.
      order: int (V,), the other project's id of each of our tokens, where they differ.

    Returns:
      what became of the arrays, and notes on what must be set where the file is used.

    Raises:
      UserError: the scheme has no place for a parameter, or needs one that is not there, or the file cannot be written.
    """
    found = _theirs(params, scheme, model, order)
    files.write(Path(path), found.arrays, beside.said(found.leaves, model))
    return found.moves, found.notes


def write_folder(
    folder: Path,
    params: Mapping[str, Leaf],
    model: Settings,
    names: Sequence[str] = (),
    order: np.ndarray | None = None,
    others: Mapping[str, bytes] | None = None,
) -> tuple[Move, ...]:
    """Writes a folder that transformers or diffusers opens, whole or not at all: the weights, config.json and `others`.

    Args:
      params, model, order: see `write`.
      names: of the classes.
      others: further files, by name: those of the tokenizer.

    Returns:
      what became of the arrays.

    Raises:
      UserError: see `write`.
    """
    found = _theirs(params, "huggingface", model, order)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    kind = beside.kind(found.table)
    path = fresh / kind.weights
    try:
        written = {path.with_name("config.json"): kind.write(model, names, found.sizes)}
        written |= {fresh / name: content for name, content in kind.others(names).items()}
        path.parent.mkdir(parents=True)
        files.write(path, found.arrays, {})
        for file, said in written.items():
            file.write_text(json.dumps(said, indent=2))
        for name, content in (others or {}).items():
            (fresh / name).write_bytes(content)
        if folder.exists():
            folder.rmdir()
        fresh.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}.") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return found.moves


TOKENS = ("token", "distillation_token")  # that a ViT puts before its patches


class _Theirs(NamedTuple):
    table: Table
    leaves: Leaves
    arrays: dict[str, np.ndarray]
    sizes: dict[str, int]
    moves: tuple[Move, ...]
    notes: list[str]


def _theirs(params: Mapping[str, Leaf], scheme: str, model: Settings, order: np.ndarray | None) -> _Theirs:
    """Our parameters by another scheme's names."""
    if scheme not in SCHEMES:
        raise UserError(f"there is no scheme {scheme!r}: {nearest(scheme, SCHEMES)}")
    leaves = {name: np.asarray(leaf) for name, leaf in flat(unstacked(params)).items()}
    leaves |= (sines := _sines(leaves, model))
    tables = [t for t in TABLES if t.scheme == scheme]
    others = {t.family.name for t in tables} - {"", model.get("name")}
    table = min(
        tables, key=lambda t: (_lacks(t, leaves)[0], t.family.name in others, _lacks(t, leaves)[1], t.clashes(model))
    )
    known, unknown = table.by_ours(leaves)
    if unknown:
        raise UserError(
            f"{first(unknown)} of this model has no place in {table.family.words} by {scheme}: nothing was written."
        )
    for key, value in table.fixed.items():
        if model.get(key, value) != value:
            raise UserError(
                f"config.model.{key}={model[key]!r} has no place in {table.family.words} by {scheme}, which has "
                f"{value!r} always: nothing was written."
            )
    for key, value in table.never.items():
        if model[key] == value:
            raise UserError(
                f"config.model.{key}={value!r} has no place in {table.family.words} by {scheme}: nothing was written."
            )
    places = table.places(known.values())
    wanted = [spell(name, index) for row, index in places for name in row.names]
    if missing := [name for name in wanted if name not in leaves]:
        raise UserError(
            f"{table.family.words} by {scheme} needs {first(missing)}, which this model lacks: nothing was written."
        )
    if order is not None:
        leaves |= numbered(leaves, vocabulary(table, places), np.argsort(order))
    arrays = {
        spell(row.theirs, index): row.change.theirs(*(leaves[spell(name, index)] for name in row.names))
        for row, index in places
    }
    arrays |= table.derived(arrays, model)
    sizes = {
        letter: size
        for row, index in places
        for name in row.names
        for letter, size in zip(letters(table, name, index), leaves[spell(name, index)].shape, strict=True)
    }
    notes = [
        f"{key} is {model[key]} here and usually {usual} there: {table.elsewhere[key]}"
        for key, usual in table.settings.items()
        if model[key] != usual
    ]
    notes += [f"config.model.positions={model['positions']!r} became an array, as it is learned there"] if sines else []
    return _Theirs(table, leaves, arrays, sizes | table.layers(places), moves(places, arrays, leaves), notes)


def _sines(leaves: Mapping[str, np.ndarray], model: Settings) -> Leaves:
    """The positions that a ViT adds without learning them, as the array that other projects learn; none of others."""
    kind, grid = model.get("positions"), model.get("grid")
    if model.get("name") != "vit" or kind not in ("sinusoid_1d", "sinusoid_2d") or not grid:
        return {}
    width, (rows, columns) = len(leaves["embedding/bias"]), grid
    fixed = sinusoid_2d(rows, columns, width) if kind == "sinusoid_2d" else sinusoid_1d(rows * columns, width)
    extra = sum(leaves[name].shape[1] for name in TOKENS if name in leaves)  # whose positions are zero
    return {"positions/embedding": np.pad(fixed, ((extra, 0), (0, 0)))[None]}


def _lacks(table: Table, leaves: Leaves) -> tuple[int, int]:
    """How many of our parameters have no place in a table, and how many of its rows find none."""
    known, unknown = table.by_ours(leaves)
    places = table.places(known.values())
    return len(unknown), sum(spell(name, index) not in leaves for row, index in places for name in row.names)
