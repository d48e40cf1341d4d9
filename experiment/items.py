"""A user's own examples: how they are named or held, and the few shapes of batches that they make."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from PIL import Image

from errors import UserError
from input_pipeline import Batch, Pipeline, image_files

ROWS = (1, 8, 32)  # of a batch: few shapes, so that little is compiled
Item: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray
Items: TypeAlias = Item | Iterable[Item]
MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")  # of pictures that a PNG holds without loss


def padded(batch: Batch, first: int) -> Batch:
    """At most ROWS[-1] examples as a batch of one of ROWS rows, filled up with zeros, and their `index`.

    Args:
      first: the number of its first example.
    """
    (size,) = {len(x) for x in batch.values()}
    rows = next(rows for rows in ROWS if rows >= size)
    index = np.arange(first, first + rows, dtype=np.int32)
    filled = {name: np.concatenate([x, np.zeros((rows - size, *x.shape[1:]), x.dtype)]) for name, x in batch.items()}
    return filled | {"index": index}


@contextmanager
def readable(pipeline: Pipeline, items: Items) -> Iterator[list[str]]:
    """Items as `pipeline.read` takes them. Arrays and pictures are files within.

    Args:
      items: for a pipeline of texts, texts. For one of images: image files, folders (all image files in them, by name),
        PIL images, and arrays uint8, or float from 0 to 1: (height, width), (height, width, 1 or 3), or a batch of
        these. For one of clips: files, folders of frames or of videos, and arrays (frames, height, width, channels).

    Raises:
      UserError: an item that is none of these.
    """
    with TemporaryDirectory(prefix="attend-") as folder:
        yield [
            text
            for number, item in enumerate(_listed(pipeline, items))
            for text in _named(pipeline, item, folder, number)
        ]


def _listed(pipeline: Pipeline, items: Items) -> list[str | Image.Image | np.ndarray]:
    """The items one by one.

    Raises:
      UserError: something that is not an item of this pipeline.
    """
    if isinstance(items, str | os.PathLike):
        return [os.fspath(items)]
    if pipeline.rank and isinstance(items, Image.Image):
        return [items]
    if pipeline.rank and hasattr(items, "__array__"):  # NumPy's, jax's, PyTorch's
        array = np.asarray(items)
        return list(array) if array.ndim == pipeline.rank + 1 or _greys(pipeline, array) else [array]
    if not isinstance(items, Iterable) or isinstance(items, bytes | np.ndarray):
        raise UserError(
            f"{items if items is None else type(items).__name__} is not {pipeline.item}, or a list of such."
        )
    return [one for item in items for one in _listed(pipeline, item)]


def _greys(pipeline: Pipeline, items: np.ndarray) -> bool:
    """Whether an array (n, height, width) holds several grey images."""
    return pipeline.rank == 3 == items.ndim and items.shape[-1] not in (1, 3, 4)


def _named(pipeline: Pipeline, item: str | Image.Image | np.ndarray, folder: str, number: int) -> list[str]:
    """One item as texts or paths, several of a folder of images or of videos."""
    if isinstance(item, str):
        path = os.path.expanduser(item) if pipeline.rank else item
        if pipeline.rank == 4 and os.path.isdir(path):
            return pipeline.items(path)
        return image_files(path) if pipeline.rank == 3 and os.path.isdir(path) else [path]
    if isinstance(item, Image.Image):
        return [_saved(item, Path(folder, f"image {number}.png"))]
    if item.ndim == 4 == pipeline.rank:
        frames = Path(folder, f"clip {number}")
        frames.mkdir()
        for place, frame in enumerate(item):
            _saved(_picture(frame), frames / f"{place:06}.png")
        return [str(frames)]
    return [_saved(_picture(item), Path(folder, f"image {number}.png"))]


def _saved(picture: Image.Image, path: Path) -> str:
    picture = picture if picture.mode in MODES else picture.convert("RGB")
    picture.save(path, compress_level=1)  # quickly: it is read once
    return str(path)


def _picture(pixels: np.ndarray) -> Image.Image:
    """Pixels (height, width) or (height, width, 1, 3 or 4) as a picture.

    Raises:
      UserError: another shape, type or range.
    """
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] not in (3, 4)) or 0 in pixels.shape:
        raise UserError(
            f"an array of shape {pixels.shape} is no image: give (height, width) or (height, width, 1 or 3)."
        )
    if pixels.dtype == np.uint8:
        return Image.fromarray(pixels)
    if pixels.dtype.kind != "f" or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise UserError(
            f"pixels of {pixels.dtype} from {pixels.min():g} to {pixels.max():g} are of no known range: give uint8, "
            "from 0 to 255, or float, from 0 to 1."
        )
    return Image.fromarray(np.round(pixels * 255).astype(np.uint8))


def few(items: Sequence[str], most: int) -> Iterator[list[str]]:
    """The items, at most so many together; nothing at all is one part, which whoever reads it refuses."""
    for start in range(0, max(len(items), 1), max(most, 1)):
        yield list(items[start : start + most])
