"""The frames of a video: a file that PyAV decodes, an animated picture that Pillow reads, or a folder of pictures.

A video is its path. Frames are counted from 0 and decoded on request, so that of a long video only those of a clip are
held in memory.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int, UInt8

from data import image_file, listing
from data.order import Tensor, python, tensorflow
from errors import UserError, installs, shown

FILES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
FRAMES = tuple(suffix for suffix in image_file.SUFFIXES if suffix != ".gif")  # of a folder
PYAV = "av==18.1.0"
Media: TypeAlias = Any  # of PyAV or Pillow, which are imported only where a file needs them


def check(paths: list[str]) -> None:
    """That the library is here that videos of these files need.

    Raises:
      UserError: it is not.
    """
    if first := next((path for path in paths if path.lower().endswith(FILES)), None):
        try:
            import av  # noqa: F401
        except ImportError:
            raise UserError(
                f"decoding {shown(os.path.basename(first))} needs PyAV: {installs(PYAV)}, or give folders of frames "
                "or animated pictures."
            ) from None


def length(path: str) -> int:
    """How many frames a video has.

    Raises:
      ValueError: it cannot be read, or has none.
      UserError: PyAV is not installed.
    """
    if os.path.isdir(path):
        count = len(pictures(path))
    elif path.lower().endswith(FILES):
        check([path])
        with _decoded(path) as stream:
            count = stream.frames or sum(packet.pts is not None for packet in stream.container.demux(stream))
    else:
        with _picture(path) as picture:
            count = getattr(picture, "n_frames", 1)
    if not count:
        raise ValueError("it has no frames.")
    return count


def frames(path: str, wanted: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width 3"]:
    """The wanted frames of a video, in any order and as often as they are wanted.

    A file that ends before the count in its header says so has its last frame in the place of those that it lacks.

    Raises:
      ValueError: it cannot be read, or its frames differ in size.
      UserError: PyAV is not installed.
    """
    numbers, places = np.unique(wanted, return_inverse=True)
    if os.path.isdir(path):
        files = pictures(path)
        found = [_of_folder(files[i]) for i in numbers]
    elif path.lower().endswith(FILES):
        check([path])
        found = list(_of_file(path, numbers))
    else:
        with _picture(path) as picture:
            found = []
            for number in numbers.tolist():
                picture.seek(number)
                found.append(np.asarray(picture.convert("RGB")))
    if not found:
        raise ValueError("it has no frames.")
    if len({frame.shape for frame in found}) > 1:
        sizes = sorted({f"{frame.shape[1]}x{frame.shape[0]}" for frame in found})
        raise ValueError(f"its frames differ in size: {', '.join(sizes)}.")
    return np.stack(found)[np.minimum(places.reshape(-1), len(found) - 1)]


def _of_folder(path: str) -> np.ndarray:
    """One frame of a folder; an error names it."""
    try:
        return image_file.read(Path(path).read_bytes(), 3)
    except ValueError as error:
        raise ValueError(f"{shown(os.path.basename(path))}: {error}") from None


def pictures(folder: str) -> list[str]:
    """The frames of a folder: files of pictures in the order of their names, whose numbers are read as numbers."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if not listing.hidden(e.name) and e.name.lower().endswith(FRAMES)]
    return [os.path.join(folder, name) for name in sorted(names, key=_natural)]


def _natural(name: str) -> list[tuple[int, str]]:
    """So that frame_10 comes after frame_9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


@contextmanager
def _decoded(path: str) -> Iterator[Media]:
    """The video stream of a file.

    Raises:
      ValueError: there is none, or the file is damaged.
    """
    import av

    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise ValueError("it holds no video.")
            yield container.streams.video[0]
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"it is damaged or no video ({getattr(error, 'strerror', None) or error}).") from None


def _of_file(path: str, numbers: Int[np.ndarray, " n"]) -> Iterator[np.ndarray]:
    """Frames of a file by ascending numbers, turned as it says; fewer where it ends before."""
    waiting, last = numbers.tolist(), None
    with _decoded(path) as stream:
        for number, frame in enumerate(stream.container.decode(stream)):
            last = frame
            if number == waiting[0]:
                yield _upright(frame)
                waiting.pop(0)
                if not waiting:
                    return
    if last is not None:
        yield _upright(last)


def _upright(frame: Media) -> np.ndarray:
    """A frame as players show it."""
    return np.rot90(frame.to_ndarray(format="rgb24"), round(getattr(frame, "rotation", 0) / 90) % 4)


@contextmanager
def _picture(path: str) -> Iterator[Media]:
    """A picture that may be animated.

    Raises:
      ValueError: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=image_file.FORMATS) as picture:
            if picture.width * picture.height > image_file.MOST_PIXELS:
                raise ValueError(f"it has more than {image_file.MOST_PIXELS:,} pixels.")
            yield picture
    except ValueError:
        raise
    except Exception:  # Pillow raises anything
        raise ValueError(f"it is not one of {', '.join(image_file.FORMATS)}, or it is damaged.") from None


def length_of(path: Tensor) -> Tensor:
    """`length` of a scalar string, within tf.data: int32."""
    tf = tensorflow()
    return tf.ensure_shape(python(lambda path: np.int32(length(os.fsdecode(path))), [path], tf.int32), ())


def frames_of(path: Tensor, wanted: Tensor) -> Tensor:
    """`frames` of a scalar string, within tf.data."""
    tf = tensorflow()
    found = python(lambda path, wanted: frames(os.fsdecode(path), wanted), [path, wanted], tf.uint8)
    return tf.ensure_shape(found, (wanted.shape[0], None, None, 3))
