"""A file of published weights becomes parameters of ours: `read`, and `mismatch` with a model's."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np

from errors import UserError
from weights import beside, files, preprocessing, schemes
from weights.moves import Move, first, letters, moves, vocabulary
from weights.ours import Described, Index, Settings
from weights.schemes import SCHEMES
from weights.tables import Row, Table, spell
from weights.trees import Leaf, Leaves, Tree, flat, layers, nested

FLOATS = ("float16", "bfloat16", "float32", "float64")
ROUNDING = 4e-3  # of numbers up to 1 in bfloat16


@dataclass(frozen=True, repr=False)
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
      data: keys of config.data that config.json and preprocessor_config.json say.
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

    def __repr__(self) -> str:
        return f"<{self.words} by the names of {self.scheme}, {self.classes or 'no'} classes>"


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
    for name, original in table.copies.items():  # MADLAD-400's T5 has its embedding as the decoder's alone
        if name in arrays:
            arrays.setdefault(original, arrays[name])
    surplus = table.surplus(arrays, files.architecture(path))
    arrays = {name: array for name, array in arrays.items() if name not in surplus}
    known, unknown = table.by_theirs(arrays)
    if not table.recognises(arrays):
        raise UserError(
            beside.unknown(path)
            or f"{path} has names of no scheme that is known ({', '.join(SCHEMES)}): its first is "
            f"{next(iter(arrays))!r}."
        )
    for name in known:  # counters and tables of indices beside them are integers
        if arrays[name].dtype.name not in FLOATS:
            raise UserError(f"{path}: {name} is {arrays[name].dtype}, and weights are one of {', '.join(FLOATS)}.")
    left_out = table.unused(unknown)
    if odd := [name for name in unknown if name not in left_out]:
        raise UserError(f"{path} holds {first(odd)} that {table.family.words} has no place for: nothing was loaded.")
    places = table.places(known.values())
    if missing := [name for name in (spell(row.theirs, index) for row, index in places) if name not in arrays]:
        raise UserError(f"{path} lacks {first(missing)} of {table.family.words}: nothing was loaded.")
    for name, original in table.copies.items():
        if name in arrays and original in arrays and not np.array_equal(arrays[name], arrays[original]):
            raise UserError(
                f"{path}: {name} is not {original}, and {table.family.words} has one array for both: a model that does "
                "not tie them cannot be read."
            )
    for name, array in table.derived(arrays, {}).items():
        if name in arrays and not _alike(arrays[name], array):
            raise UserError(f"{path}: {name} is not {left_out[name]}, as it is in {table.family.words}.")
    if folder != path and table.scheme == "huggingface" and not said.get("attend") and not beside.exists(path):
        raise UserError(
            f"{folder} lacks config.json, which says how many heads the model has and how it computes: put it there"
            + (f", or name the file itself, {path}." if _usual_heads(table, arrays) else ".")
        )
    neighbour = beside.read(path, said, table)
    heads = heads or neighbour.heads or _usual_heads(table, arrays)
    if not heads:
        raise UserError(f"{path} does not show how many heads its model has: put its config.json beside it.")
    if bad := [name for name, array in arrays.items() if not np.isfinite(array.astype(np.float32, copy=False)).all()]:
        raise UserError(f"{path} is damaged: {first(bad)} holds values that are not finite.")
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
    prepared, told = preprocessing.read(path.parent, model.channels)
    patches = _grid(path, model, grid, neighbour.grid)
    if (patches and "position_grid" not in model.settings) or prepared.get("image_size", 0) % model.side:
        prepared = {key: value for key, value in prepared.items() if key not in ("image_size", "image_width")}
    dtypes = sorted({arrays[name].dtype.name for name in known} - {"float32"})
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
        grid=patches,
        side=model.side,
        moves=moves(places, arrays, params),
        vocabulary=vocabulary(table, places),
        data=prepared | table.data(arrays) | neighbour.data,
        left_out={**surplus, **left_out},
        notes=(
            *neighbour.notes,
            *told,
            *(f"{dtype} became float32" for dtype in dtypes),
            *([f"no picture has {model.channels} channels: use arrays"] if model.channels not in (0, 1, 3) else []),
            *([f"the names are read without {prefix!r}, which they begin with"] if prefix else []),
        ),
    )


def mismatch(found: Weights, wanted: Mapping[str, Leaf]) -> str:
    """A line on the first parameter of `found` that differs from the model's, and how to mend it; "" if none does.

    Args:
      wanted: the model's parameters or their shapes (anything with a .shape), nested or flat, scanned or not.
    """
    have = {name: tuple(leaf.shape) for name, leaf in flat(found.params).items()}
    want = {
        name: tuple(leaf.shape) if number is None else tuple(leaf.shape[1:])
        for path, leaf in flat(wanted).items()
        for name, number in layers(path, leaf.shape)
    }
    for name in [*have, *(name for name in want if name not in have)]:
        if have.get(name) != want.get(name):
            return (
                f"{name} is {_spell(have.get(name))} in the file and {_spell(want.get(name))} in the model. The file "
                f"holds a {found.words}: {_fits(found, name, have, want)}"
            )
    return ""


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a.astype(np.float32), b.astype(np.float32), atol=ROUNDING)


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
        axes = letters(table, pattern, index)
        want = [int(x) if x.isdigit() else sizes.get(x) for x in axes]
        if len(want) != part.ndim or any(w not in (None, size) for w, size in zip(want, part.shape, strict=True)):
            expected = ", ".join(str(w or letter) for w, letter in zip(want, axes, strict=True))
            raise UserError(
                f"{path} contradicts itself: {theirs} comes to {list(part.shape)}, and the others need [{expected}]."
            )
        sizes |= {x: n for x, n in zip(axes, part.shape, strict=True) if not x.isdigit()}
    return {
        spell(name, index): np.ascontiguousarray(part).reshape(part.shape)
        for name, part in zip(row.names, parts, strict=True)
    }


def _usual_heads(table: Table, arrays: Mapping[str, np.ndarray]) -> int:
    """See Family.heads; 1 where no matrix is to be split."""
    if not any("head" in row.change.name for row in table.rows):
        return 1
    return table.family.heads(lambda ours: arrays[table.theirs(ours)])


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
