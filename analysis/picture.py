"""What pictures share: how they are begun and saved, images in a grid, tiles.

Without pyplot, which keeps every figure alive until it is closed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

import storage
from errors import UserError

Arrays = dict[str, np.ndarray]
DPI = 130
WHITE = str.maketrans({"▁": " ", "Ġ": " ", "Ċ": "\n", "ĉ": "\t", "\r": " "})  # as tokenizers write it
BYTE = re.compile(r"<0x([0-7][0-9A-F])>")  # that is a character by itself
LETTERS = 16  # of a token as a label; of a longer one the first are shown
SIDE = 224  # pixels that a picture is at least about as high as


def begin(width: float, height: float, title: str) -> Figure:
    """An empty picture. width, height: in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(literal(title))
    return figure


def literal(text: object) -> str:
    """A text for a picture as it stands: two dollar signs, as in file names and prices, do not enclose a formula."""
    return str(text).replace("$", r"\$")


def text_of(piece: object) -> str:
    """A token as it stands in a text, without the marks and the bytes that tokenizers write white space and rare
    characters as."""
    byte = BYTE.fullmatch(text := str(piece))
    return chr(int(byte[1], 16)) if byte else text.translate(WHITE)


def spelled(piece: object) -> str:
    """The same, with a sign for line feed and tab."""
    return text_of(piece).replace("\n", "⏎").replace("\t", "⇥")


def token(piece: object) -> str:
    """A token as a label, without the space before a word and no longer than LETTERS."""
    text = spelled(piece)
    text = text.strip(" ") or "␣" * len(text)
    return literal(text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…")


def name_rows(axes: Axes, tokens: Iterable[object], size: float) -> None:
    """Writes tokens at the rows of a matrix. size: of the letters, in points."""
    labels = [token(piece) for piece in tokens]
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    axes.tick_params(axis="y", length=0, pad=2)


def name_columns(axes: Axes, tokens: Iterable[object], size: float, top: bool = False) -> None:
    """Writes tokens at the columns of a matrix, upright. size: of the letters, in points."""
    labels = [token(piece) for piece in tokens]
    axes.set_xticks(range(len(labels)), labels, fontsize=size, rotation=90)
    axes.tick_params(axis="x", length=0, pad=2)
    if top:
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")


def letters(side: float) -> float:
    """The size of letters, in points, that stand in rows of `side` inches."""
    return min(10.0, 0.85 * 72 * side)


def save(figure: Figure, arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes the picture to `path`, a .png, and the arrays beside it as .npz.

    Raises:
      UserError: a file that cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.written(path) as here:
            figure.savefig(here, dpi=DPI)
        with storage.written(path.with_suffix(".npz")) as here:
            np.savez(here, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise UserError(f"cannot write {path}: {_why(error, path)}.") from None


def write(picture: Float[np.ndarray, "height width 3"], path: Path) -> None:
    """Writes a picture of values in [0, 1] to `path`, a .png, small ones with each pixel as a square of several.

    Raises:
      UserError: a file that cannot be written.
    """
    scale = max(1, SIDE // picture.shape[0])
    pixels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.written(path) as here:
            Image.fromarray(pixels).save(here)
    except OSError as error:
        raise UserError(f"cannot write {path}: {_why(error, path)}.") from None


def show(axes: Axes, image: Float[np.ndarray, "height width channels"]) -> None:
    """Draws an image of values in [0, 1], in grey if it has one channel."""
    axes.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    bare(axes)


def bare(axes: Axes) -> None:
    """Removes ticks and frame; labels stay."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def heading(axes: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Names the rows of a grid at its left and the columns at its top. axes: (rows, columns) of Axes."""
    for axis, name in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(literal(name), rotation=0, ha="right", va="center")
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(literal(name), fontsize="medium")


def tiles(values: Shaped[np.ndarray, "R C r c"]) -> Float[np.ndarray, "R*(r+1)-1 C*(c+1)-1"]:
    """A grid of grids as one float32 image, with lines of NaN between the tiles."""
    framed = np.pad(values.astype(np.float32), ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    rows, columns, height, width = framed.shape
    return framed.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)[:-1, :-1]


def show_map(axes: Axes, weights: Float[np.ndarray, "R C"], image: tuple[int, ...], overlay: bool = False) -> AxesImage:
    """Draws a map over patches, from 0 to its largest weight.

    Args:
      weights: of the patches.
      image: the shape (height, width, channels) of the image that the map covers.
      overlay: whether the image under it shows through.
    """
    extent = (-0.5, image[1] - 0.5, image[0] - 0.5, -0.5)
    look = dict(alpha=0.6, interpolation="bilinear") if overlay else dict(interpolation="nearest")
    shown = axes.imshow(weights, extent=extent, vmin=0, cmap="inferno", **look)
    bare(axes)
    return shown


def _why(error: OSError, path: Path) -> str:
    """What the system says, or that a file stands where the folder should be."""
    return f"{path.parent} is no folder" if isinstance(error, FileExistsError) else str(error.strerror)
