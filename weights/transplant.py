"""The weights of one model in another of the same parts: layers stacked or written out, positions resized.

Weights go by the paths of parameters with the layers written out: "encoder/block_00/...".
"""

import re
from collections.abc import Container
from math import isqrt

import numpy as np

from errors import UserError, nearest
from weights.trees import layers, written_out

__all__ = ["Weights", "fit", "resized", "written_out"]

Weights = dict[str, np.ndarray]

POSITIONS = "positions/embedding"
TOKENS = ("token", "distillation_token")  # what stands before the grid of patches


def fit(
    found: Weights, shapes: dict[str, tuple[int, ...]], proportion: float, source: str, fresh: tuple[str, ...] = ()
) -> tuple[Weights, str]:
    """The weights that a model of these shapes takes over, by its own paths; and a line on what was done.

    Args:
      found: the other model's weights, layers written out.
      shapes: of this model's parameters, by path.
      proportion: height / width of the images, for the positions.
      source: where the weights are from, for messages.
      fresh: patterns over paths that are not taken over, and that only the other model may have: config.init_fresh.

    Raises:
      UserError: a parameter that is missing, of another shape, or not asked for.
    """
    notes: list[str] = []
    taken: Weights = {}
    used: set[str] = set()
    for path, shape in shapes.items():
        places = layers(path, shape)
        if any(_matches(fresh, name) for name, _ in places):
            continue
        values = []
        for name, number in places:
            if name not in found:
                raise UserError(
                    f"{source} has no {name}, which this model has: {nearest(name, found)} To begin it anew add it to "
                    "config.init_fresh."
                )
            value, wanted = found[name], shape if number is None else shape[1:]
            grids = value.ndim == len(wanted) == 3 and value.shape[-1] == wanted[-1]  # of patches, not of a sentence
            if name == POSITIONS and grids and value.shape != wanted:
                value = _resized(value, wanted[1], _extra(found), _extra(shapes), proportion)
                notes.append(f"position embeddings resized from {found[name].shape[1]} to {wanted[1]}")
            if value.shape != wanted:
                raise UserError(
                    f"{source} is of another model: {name} is {list(value.shape)} there and {list(wanted)} here. Give "
                    "config.model the sizes it has there, or add it to config.init_fresh to begin it anew."
                )
            values.append(value)
            used.add(name)
        taken[path] = values[0] if places[0][1] is None else np.stack(values)
    own = [name for path, shape in shapes.items() for name, _ in layers(path, shape)]
    left_out = [name for name in found if name not in used and name not in own]
    if unasked := [name for name in left_out if not _matches(fresh, name)]:
        raise UserError(
            f"{source} has {unasked[0]}, which this model has not (it is one of {len(unasked)}): choose the "
            "config.model of that one, or add it to config.init_fresh to leave it out."
        )
    anew = [path for path in shapes if path not in taken]
    first = f"{len(taken)} of {len(shapes)} parameters from {source}"
    lists = [("begin anew", anew), ("left out", left_out)]
    return taken, "; ".join([first, *(f"{what}: {', '.join(names)}" for what, names in lists if names), *notes]) + "."


def resized(table: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Position embeddings (rows, columns, D) for another grid, bilinearly between the corners, which stay where they
    are (2010.11929, section 3.2, as its code has it)."""
    import scipy.ndimage  # takes half a second to load, and few need it

    zoom = (grid[0] / table.shape[0], grid[1] / table.shape[1], 1)
    return scipy.ndimage.zoom(table, zoom, order=1)


def _resized(table: np.ndarray, tokens: int, extra: int, wanted_extra: int, proportion: float) -> np.ndarray:
    """Positions (1, N, D), of which the first `extra` are no patches', for `tokens` positions; as they are where they
    cannot be resized. Those of class tokens are kept or dropped, never made up."""
    side, patches = isqrt(table.shape[1] - extra), tokens - wanted_extra
    rows = round((patches * proportion) ** 0.5)
    if side**2 != table.shape[1] - extra or rows == 0 or patches % rows or wanted_extra > extra:
        return table
    before, grid = table[0, :extra][:wanted_extra], table[0, extra:].reshape(side, side, -1)
    patch = resized(grid, (rows, patches // rows)).reshape(patches, -1)
    return np.concatenate([before, patch])[None].astype(table.dtype)


def _extra(names: Container[str]) -> int:
    return sum(name in names for name in TOKENS)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
