"""Published weights, both ways: `read` a file into our parameters, `write` ours under another scheme's names.

`weights.read("ViT-B_16.npz").params` is {"encoder": {"block_00": {"attention": ...}}} of float32 arrays, whatever the
scheme; `.model` holds the keys of config.model that the weights decide. Blocks stand apart; `stacked` gives the form of
config.model.scan. Of our models this room knows the sizes and the names of layers; it computes with NumPy alone.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from errors import UserError, nearest
from weights import (
    beside,
    clip_names,
    detr_names,
    files,
    our_clip,
    our_detr,
    our_dinov2,
    our_gpt,
    our_swin,
    our_t5,
    our_video,
    our_vit,
    schemes,
    swin_names,
)
from weights.ours import TOKENS, Described, Settings
from weights.schemes import SCHEMES, TABLES
from weights.tables import PLACE, Index, Row, Table, spell
from weights.trees import Leaf, Leaves, Tree, flat, layers, nested, stacked, unstacked

__all__ = [
    "MODELS",
    "SCHEMES",
    "SUFFIXES",
    "Move",
    "Weights",
    "architecture",
    "find",
    "flat",
    "is_published",
    "mismatch",
    "model_type",
    "nested",
    "numbered",
    "read",
    "stacked",
    "unstacked",
    "write",
    "write_folder",
]

SUFFIXES = files.SUFFIXES
find, is_published = files.find, files.is_published
model_type, architecture = files.model_type, files.architecture
# config.model.name
MODELS = (
    *("vit", "resnet", "mixer", "swin", "detr", "clip", "vivit", "timesformer", "video_mae"),
    *("transformer", "t5", "gpt", "bert"),
)


class Move(NamedTuple):
    """What became of the arrays of one row.

    Attributes:
      arrays: how many there are.
      theirs, ours: the patterns of names.
      change: what was done to each; "" for nothing.
      before, after: the shape of the first.
    """

    arrays: int
    theirs: str
    ours: str
    change: str
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
      params: by our names, nested, float32, each block by itself (`encoder/block_00`).
      scheme: the naming scheme of the file.
      model: the keys of config.model that the weights and the scheme decide.
      settings: those of them that no shape shows, such as the form of GELU.
      variant: "B/16"; "" for a size that is not published.
      words: the model for a person.
      classes: C; 0 without a head.
      names: of the classes, where a file beside the weights has them.
      channels: of the image.
      image_size: of the positions' grid; None where that is not square.
      grid: rows and columns of the patches; None where there are none, or nothing says it.
      side: of a patch in pixels.
      moves: every row of the table that was used.
      vocabulary: the parameters with an axis of tokens, by flat name, and which axis that is.
      data: keys of config.data that config.json says.
      left_out: names in the file that no parameter comes from, and why.
      notes: further lines for a person.
    """

    params: Tree
    scheme: str
    model: Settings
    settings: tuple[str, ...]
    variant: str
    words: str
    classes: int
    names: tuple[str, ...]
    channels: int
    image_size: int | None
    grid: tuple[int, int] | None
    side: int
    moves: tuple[Move, ...]
    vocabulary: dict[str, int]
    data: Settings
    left_out: dict[str, str]
    notes: tuple[str, ...]


def read(path: Path | str, heads: int | None = None, grid: tuple[int, int] | None = None) -> Weights:
    """The weights of a .npz or .safetensors file, or of a folder that holds one or its parts; whole or not at all.

    Args:
      heads: of a ViT whose matrices do not show it (timm, huggingface). When None, the number in the file or in
        config.json beside it, or else that of a published model of the same width.
      grid: rows and columns of the patches. When None, those in the file or in config.json beside it, or else a square.

    Raises:
      UserError: the file cannot be read or is unsafe, has names of no known scheme, lacks some or has others, or its
        shapes contradict one another.
    """
    folder, path = Path(path), files.find(Path(path))
    arrays, said = files.read(path)
    arrays, prefix = schemes.without_prefix(schemes.respelled(arrays))
    table = schemes.table(arrays, beside.tables(path))
    known, unknown = table.by_theirs(arrays)
    if not table.recognises(arrays):
        raise UserError(
            beside.unknown(path)
            or f"{path} has names of no scheme that is known ({', '.join(SCHEMES)}): its first is "
            f"{next(iter(arrays))!r}."
        )
    left_out = table.unused(unknown)
    if odd := [name for name in unknown if name not in left_out]:
        raise UserError(f"{path} holds {_first(odd)} that {table.family.words} has no place for: nothing was loaded.")
    places = table.places(known.values())
    if missing := [name for name in (spell(row.theirs, index) for row, index in places) if name not in arrays]:
        raise UserError(f"{path} lacks {_first(missing)} of {table.family.words}: nothing was loaded.")
    for name, original in table.copies.items():
        if name in arrays and not np.array_equal(arrays[name], arrays[original]):
            raise UserError(f"{path}: {name} is not {original}, and {table.family.words} has one matrix for both.")
    if folder != path and table.scheme == "huggingface" and not said.get("attend") and not beside.exists(path):
        raise UserError(
            f"{folder} lacks config.json, which says how many heads the model has and how it computes: put it there"
            + (f", or name the file itself, {path}." if table.family in (our_t5.FAMILY, our_vit.FAMILY) else ".")
        )
    neighbour = beside.read(path, said, table)
    heads = heads or neighbour.heads or _usual_heads(path, table, arrays)
    if bad := [name for name, array in arrays.items() if not np.isfinite(array.astype(np.float32, copy=False)).all()]:
        raise UserError(f"{path} is damaged: {_first(bad)} holds values that are not finite.")
    sizes: dict[str, int] = {}
    params: Leaves = {}
    for row, index in places:
        params |= _ours(path, table, row, index, arrays, heads, sizes)
    beside.check(path, table, sizes | table.layers(places))
    try:
        model = table.family.describe(sizes, {index for _, index in places}, {name.split("/")[0] for name in params})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    names = neighbour.names if model.classes else ()
    if names and len(names) != model.classes:
        raise UserError(f"{path} has {model.classes} classes, and config.json beside it names {len(names)}.")
    dtypes = sorted({array.dtype.name for array in arrays.values()} - {"float32"})
    return Weights(
        params=nested(params),
        scheme=table.scheme,
        model={**model.settings, **table.fixed, **table.settings, **neighbour.settings},
        settings=(*table.settings, *table.fixed),
        variant=model.variant,
        words=model.words,
        classes=model.classes,
        names=names,
        channels=model.channels,
        image_size=model.image_size,
        grid=_grid(path, model, grid, neighbour.grid),
        side=model.side,
        moves=_moves(places, arrays, params),
        vocabulary=_vocabulary(table, places),
        data=neighbour.data,
        left_out=left_out,
        notes=(
            *neighbour.notes,
            *(f"{dtype} became float32" for dtype in dtypes),
            *([f"the names are read without {prefix!r}, which they begin with"] if prefix else []),
        ),
    )


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
    """Writes a folder that transformers opens, whole or not at all: the weights, config.json and `others`.

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
    try:
        config = beside.written(found.table, model, names, found.sizes)
        fresh.mkdir(parents=True)
        files.write(fresh / files.WHOLE, found.arrays, {})
        for name, content in {"config.json": json.dumps(config, indent=2).encode(), **(others or {})}.items():
            (fresh / name).write_bytes(content)
        if folder.exists():
            folder.rmdir()
        fresh.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}.") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return found.moves


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
    tables = [t for t in TABLES if t.scheme == scheme]
    others = {t.family.name for t in tables} - {"", model.get("name")}
    table = min(
        tables, key=lambda t: (_lacks(t, leaves)[0], t.family.name in others, _lacks(t, leaves)[1], t.clashes(model))
    )
    known, unknown = table.by_ours(leaves)
    if unknown:
        raise UserError(
            f"{_first(unknown)} of this model has no place in {table.family.words} by {scheme}: nothing was written."
        )
    for key, value in table.fixed.items():
        if model.get(key, value) != value:
            raise UserError(
                f"config.model.{key}={model[key]!r} has no place in {table.family.words} by {scheme}, which has "
                f"{value!r} always: nothing was written."
            )
    places = table.places(known.values())
    wanted = [spell(name, index) for row, index in places for name in row.names]
    if missing := [name for name in wanted if name not in leaves]:
        raise UserError(
            f"{table.family.words} by {scheme} needs {_first(missing)}, which this model lacks: nothing was written."
        )
    if order is not None:
        leaves |= numbered(leaves, _vocabulary(table, places), np.argsort(order))
    arrays = {
        spell(row.theirs, index): row.change.theirs(*(leaves[spell(name, index)] for name in row.names))
        for row, index in places
    }
    sizes = {
        letter: size
        for row, index in places
        for name in row.names
        for letter, size in zip(_letters(table, name, index), leaves[spell(name, index)].shape, strict=True)
    }
    notes = [
        f"{key} is {model[key]} here and usually {usual} there: {table.elsewhere[key]}"
        for key, usual in table.settings.items()
        if model[key] != usual
    ]
    return _Theirs(table, leaves, arrays, sizes | table.layers(places), _moves(places, arrays, leaves), notes)


def mismatch(found: Weights, wanted: Mapping[str, Leaf], free: tuple[str, ...] = ()) -> str:
    """A line on the first parameter of `found` that differs from the model's, and how to mend it; "" if none does.

    Args:
      wanted: the model's parameters or their shapes (anything with a .shape), nested or flat, scanned or not.
      free: first words of parameters that may differ ("head", "positions").
    """
    have = {name: tuple(leaf.shape) for name, leaf in flat(found.params).items()}
    want = {
        name: tuple(leaf.shape) if number is None else tuple(leaf.shape[1:])
        for path, leaf in flat(wanted).items()
        for name, number in layers(path, leaf.shape)
    }
    for name in [*have, *(name for name in want if name not in have)]:
        if name.split("/")[0] not in free and have.get(name) != want.get(name):
            return (
                f"{name} is {_spell(have.get(name))} in the file and {_spell(want.get(name))} in the model. The file "
                f"holds a {found.words}: {_fits(found, name, have, want)}"
            )
    return ""


def _lacks(table: Table, leaves: Leaves) -> tuple[int, int]:
    """How many of our parameters have no place in a table, and how many of its rows find none."""
    known, unknown = table.by_ours(leaves)
    places = table.places(known.values())
    return len(unknown), sum(spell(name, index) not in leaves for row, index in places for name in row.names)


def _grid(
    path: Path, model: Described, given: tuple[int, int] | None, said: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Rows and columns of the patches that the weights are for."""
    rows = isqrt(model.patches)
    grid = given or said or ((rows, rows) if model.patches and rows**2 == model.patches else None)
    if grid and grid[0] * grid[1] != model.patches:
        raise UserError(f"{path} is for images of {model.patches} patches, which are not {grid[0]}x{grid[1]}.")
    return grid


def _ours(
    path: Path,
    table: Table,
    row: Row,
    index: Index,
    arrays: Mapping[str, np.ndarray],
    heads: int,
    sizes: dict[str, int],
) -> Leaves:
    """Our parameters of one row; `sizes` learns the letters of their shapes, which hold for all that come after."""
    theirs = spell(row.theirs, index)
    array = arrays[theirs].astype(np.float32, copy=False)
    try:
        parts = row.change.ours(array, heads)
    except (ValueError, IndexError):
        raise UserError(
            f"{path}: {theirs} of shape {list(array.shape)} is no {row.names[0].split('/')[-1]} of {table.family.words}"
            + (f" with {heads} heads: give --heads." if "heads" in row.change.name else ".")
        ) from None
    for part, pattern in zip(parts, row.names, strict=True):
        letters = _letters(table, pattern, index)
        want = [int(x) if x.isdigit() else sizes.get(x) for x in letters]
        if len(want) != part.ndim or any(w not in (None, size) for w, size in zip(want, part.shape, strict=True)):
            expected = ", ".join(str(w or letter) for w, letter in zip(want, letters, strict=True))
            raise UserError(
                f"{path} contradicts itself: {theirs} comes to {list(part.shape)}, and the others need [{expected}]."
            )
        sizes |= {x: n for x, n in zip(letters, part.shape, strict=True) if not x.isdigit()}
    return {
        spell(name, index): np.ascontiguousarray(part).reshape(part.shape)
        for name, part in zip(row.names, parts, strict=True)
    }


def _letters(table: Table, pattern: str, index: Index) -> list[str]:
    """The shape of one of our parameters."""
    shape = table.family.shapes[pattern]
    return (shape if isinstance(shape, str) else shape(dict(index))).split()


def _vocabulary(table: Table, places: list[tuple[Row, Index]]) -> dict[str, int]:
    """See Weights."""
    shapes = {spell(name, index): _letters(table, name, index) for row, index in places for name in row.names}
    return {name: letters.index(TOKENS) for name, letters in shapes.items() if TOKENS in letters}


def _moves(
    places: list[tuple[Row, Index]], theirs: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]
) -> tuple[Move, ...]:
    moves: dict[Row, Move] = {}
    for row, index in places:
        if row in moves:
            moves[row] = moves[row]._replace(arrays=moves[row].arrays + 1)
            continue
        words = zip(*(PLACE.sub("*", name).split("/") for name in row.names), strict=True)
        names = "/".join("|".join(dict.fromkeys(word)) for word in words)
        before, after = theirs[spell(row.theirs, index)].shape, own[spell(row.names[0], index)].shape
        moves[row] = Move(1, PLACE.sub("*", row.theirs), names, row.change.name, before, after)
    return tuple(moves.values())


def _usual_heads(path: Path, table: Table, arrays: Mapping[str, np.ndarray]) -> int:
    if table.family in our_swin.FAMILIES.values():
        return swin_names.head_dim(table, arrays)
    if table.family is our_detr.FAMILY:
        return detr_names.HEADS_OF_ALL
    if table.family in our_clip.FAMILIES.values():
        return clip_names.head_dim(table, arrays)
    if table.family is our_t5.FAMILY:
        return arrays[table.row("encoder_relative/embedding").theirs].shape[-1]
    if table.family in (our_vit.FAMILY, *our_dinov2.FAMILIES.values(), *our_video.FAMILIES):
        return our_vit.heads_of(len(arrays[spell(table.row("embedding/bias").theirs, ())]))
    if not any("heads" in row.change.name for row in table.rows):
        return 1
    if table.family is our_gpt.FAMILY:
        width = arrays[spell(table.row("decoder/norm/scale").theirs, ())].shape[0]
        if found := our_gpt.heads_of(width):
            return found
    raise UserError(f"{path} does not show how many heads its model has: put its config.json beside it.")


def _first(names: list[str]) -> str:
    return repr(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _fits(found: Weights, name: str, have: Mapping[str, object], want: Mapping[str, object]) -> str:
    """What would make a model fit whose first other parameter is `name`."""
    part = name.split("/")[0]
    if part in ("pre_logits", "token", "distillation_token") and not (name in have and name in want):
        key = "representation" if part == "pre_logits" else "head"
        return f"take --config.model.{key}={found.model[key]}"
    if part == "positions" and name not in want:
        return "take --config.model.positions=learned"
    if part == "positions" and found.image_size:
        return f"take --config.data.image_size={found.image_size}"
    if part == "head":
        return f"its head tells {found.classes} classes apart"
    return f"take --config.model.variant={found.variant}" if found.variant else "give config.model that size"


def _spell(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))
