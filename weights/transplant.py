"""The weights of one model in another of the same parts: layers stacked or written out, positions resized.

Weights go by the paths of parameters with the layers written out: "encoder/block_00/...".
"""

import re
import shlex
from collections.abc import Container
from math import isqrt

import numpy as np

from errors import UserError, nearest
from models import paths
from weights.trees import layers, written_out

__all__ = ["Grid", "Weights", "fit", "resized", "written_out"]

Weights = dict[str, np.ndarray]
Grid = tuple[int, int]  # rows and columns of an image's patches

# Of patches, and what stands before their grid: of a ViT, of a tower of its own, of the trunk of a dense model.
POSITIONS = ("positions/embedding", "image/positions/embedding", "trunk/positions/embedding")
TOKENS = ("token", "distillation_token", "image/token", "trunk/token", "trunk/distillation_token")
WINDOW = re.compile(r".*/attention/bias/embedding")  # of a Swin: offsets within a window
MIXED = re.compile(r".*/token_mlp/(expand|contract)/.*")  # of a Mixer, whose inputs are the places of the grid


def fit(
    found: Weights,
    shapes: dict[str, tuple[int, ...]],
    grids: tuple[Grid | None, Grid | None],
    source: str,
    fresh: tuple[str, ...] = (),
) -> tuple[Weights, str]:
    """The weights that a model of these shapes takes over, by its own paths; and a line on what was done.

    Args:
      found: the other model's weights, layers written out.
      shapes: of this model's parameters, by path.
      grids: of the other model's positions and of this one's, of a model of clips those of a frame. None where nothing
        says it: of images a square is taken as one.
      source: where the weights are from, for messages.
      fresh: patterns over paths that are not taken over, and that only the other model may have: config.init_fresh.

    Raises:
      UserError: a parameter that is missing, of another shape, of an unknown grid, or not asked for.
    """
    notes: list[str] = []
    taken: Weights = {}
    used: set[str] = set()
    extra = (_extra(found), _extra(shapes))
    clips = _of_tubelets(found)
    grids = (grids[0] or (None if clips else _square(found, extra[0])), grids[1])
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
            wanted = shape if number is None else shape[1:]
            value = _of_window(name, _on_grid(name, found[name], wanted, grids, extra, clips, source), wanted)
            if WINDOW.fullmatch(name) and value is not found[name]:
                notes.append(f"{name} resized from {len(found[name])} to {len(value)} offsets")
            elif value is not found[name] and grids[1] and grids[0] != grids[1]:
                notes.append(f"{name} resized from {_spelled(grids[0])} to {_spelled(grids[1])}")
            if not clips:
                value = _for_clips(name, value, wanted, extra, grids[1])
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
    fitting = [name for path in anew for name in _fitting(path, shapes[path], found)]
    first = f"{len(taken)} of {len(shapes)} parameters from {source}"
    lists = [("begin anew", anew), ("left out", left_out)]
    notes = notes if len(notes) < 3 else [notes[0], f"and {len(notes) - 1} more"]
    line = "; ".join([first, *(f"{what}: {', '.join(names)}" for what, names in lists if names), *notes]) + "."
    if any(paths.layer(name) for name in fitting):
        others = [name for name in own if name not in fitting] + left_out
        needed = tuple(pattern for pattern in fresh if any(_matches((pattern,), name) for name in others))
        flag = shlex.quote(f"--config.init_fresh={needed}")
        line += f" note: {source} has {len(fitting)} of those that begin anew; to take them over: {flag}"
    return taken, line


def _fitting(path: str, shape: tuple[int, ...], found: Weights) -> list[str]:
    """The parameters at a path that the other model has with the same shape. Heads are left aside: they are of other
    classes."""
    places = [] if path.startswith("head/") else layers(path, shape)
    wanted = ((name, shape if number is None else shape[1:]) for name, number in places)
    return [name for name, each in wanted if name in found and found[name].shape == each]


def resized(table: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Position embeddings (rows, columns, D) for another grid, bilinearly between the corners, which stay where they
    are (2010.11929, section 3.2, as its code has it)."""
    import scipy.ndimage  # takes half a second to load, and few need it

    zoom = (grid[0] / table.shape[0], grid[1] / table.shape[1], 1)
    return scipy.ndimage.zoom(table, zoom, order=1)


def _on_grid(
    name: str,
    value: np.ndarray,
    wanted: tuple[int, ...],
    grids: tuple[Grid | None, Grid | None],
    extra: tuple[int, int],
    clips: bool,
    source: str,
) -> np.ndarray:
    """A parameter for this model's grid; the same object where it depends on no grid, or on the same one.

    Args:
      extra: how many tokens come before the patches, there and here.
      clips: whether there are positions for several times, a grid of them for each.
    """
    there, here = grids
    of_image = name in POSITIONS and value.ndim == len(wanted) == 3  # of patches, not of a sentence
    relative = name.endswith("/relative/embedding")
    if not here or not (of_image or relative or MIXED.fullmatch(name) or name.startswith("positions/")):
        return value
    if not there:
        if of_image and value.shape != wanted and not clips:
            patches = value.shape[1] - extra[0]
            rows = next((n for n in range(isqrt(max(patches, 1)), 1, -1) if patches % n == 0), 1)
            raise UserError(
                f"{source} has positions of {patches} patches, which are no square: say their rows and columns, as in "
                f"{source}:{rows}x{patches // rows}."
            )
        return value
    if there == here and extra[0] == extra[1]:
        return value
    if MIXED.fullmatch(name):
        if there != here:
            raise UserError(
                f"{source} mixes {_spelled(there)}, and this model has {_spelled(here)}: a Mixer's images "
                "keep their size. Give config.data.image_size and image_width those values."
            )
        return value
    if of_image:
        times, rest = divmod(value.shape[1] - extra[0], there[0] * there[1])
        if extra[1] > extra[0] or rest or (times != 1 and not clips):
            return value
        every = value[0, extra[0] :].reshape(times, *there, -1)
        tables = [resized(table, here).reshape(here[0] * here[1], -1) for table in every]
        return np.concatenate([value[0, : extra[0]][: extra[1]], *tables])[None].astype(value.dtype)
    if there == here:
        return value
    if relative:
        offsets = (2 * there[0] - 1, 2 * there[1] - 1)
        if value.ndim != 2 or len(value) != offsets[0] * offsets[1]:
            return value
        table = resized(value.reshape(*offsets, -1), (2 * here[0] - 1, 2 * here[1] - 1))
        return table.reshape(-1, value.shape[-1]).astype(value.dtype)
    side = {"positions/row": here[0], "positions/column": here[1]}.get(name, len(value))
    return resized(value[:, None], (side, 1))[:, 0].astype(value.dtype) if side != len(value) else value


def _of_tubelets(found: Weights) -> bool:
    """Whether weights are of a model of clips whose patches span several frames, or one each (2103.15691)."""
    return "embedding/kernel" in found and found["embedding/kernel"].ndim == 5


def _for_clips(
    name: str, value: np.ndarray, wanted: tuple[int, ...], extra: tuple[int, int], frame: Grid | None
) -> np.ndarray:
    """A parameter of images for a model of clips: patches become the central frames of tubelets, and every time has the
    positions of an image (2103.15691, section 3.4).

    Args:
      frame: rows and columns of a frame's patches, where they are known.
    """
    if name == "embedding/kernel" and wanted[1:] == value.shape:
        kernel = np.zeros(wanted, value.dtype)
        kernel[wanted[0] // 2] = value
        return kernel
    if name in POSITIONS and value.ndim == len(wanted) == 3 and extra[0] == extra[1]:
        patches = value.shape[1] - extra[0]
        times, rest = divmod(wanted[1] - extra[1], max(1, patches))
        if times > 1 and not rest and (frame is None or frame[0] * frame[1] == patches):
            return np.concatenate([value[:, : extra[0]], np.tile(value[:, extra[0] :], (1, times, 1))], axis=1)
    return value


def _of_window(name: str, value: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    """A table of the offsets within a window, for a window of another side; anything else as it is."""
    if not WINDOW.fullmatch(name) or value.ndim != 2 or value.shape[1:] != wanted[1:] or value.shape == wanted:
        return value
    there, here = isqrt(len(value)), isqrt(wanted[0])
    if (there**2, here**2) != (len(value), wanted[0]):
        return value
    return resized(value.reshape(there, there, -1), (here, here)).reshape(wanted).astype(value.dtype)


def _square(found: Weights, extra: int) -> Grid | None:
    """The grid of positions whose number is a square."""
    tables = [found[name] for name in POSITIONS if name in found and found[name].ndim == 3]
    patches = tables[0].shape[1] - extra if tables else -1
    side = isqrt(max(patches, 0))
    return (side, side) if patches > 0 and side**2 == patches else None


def _spelled(grid: Grid | None) -> str:
    return f"{grid[0]}x{grid[1]} patches" if grid else "an unknown grid"


def _extra(names: Container[str]) -> int:
    return sum(name in names for name in TOKENS)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
