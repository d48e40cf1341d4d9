"""Letters and digits of matplotlib's fonts under random affine changes: a million images, and nothing to download.

Faces of DejaVu and STIX differ in weight, slant and style. Example i of a split is drawn from i alone.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, UInt8

from data.order import Tensor, tensorflow
from data.sources import Example, Feature, Features, Made
from errors import UserError

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

SIDE, CANVAS, POINTS = 28, 48, 30  # pixels of an image, and of a character before its change; the size of its font
SIZES = {"train": 1_000_000, "validation": 10_000, "test": 10_000}
LEAST = 12  # faces that a class has
ROTATION, SHEAR, ZOOM, SHIFT = np.deg2rad(15.0), 0.2, 0.25, 0.1  # the most either way; SHIFT of the side


class Source(Made):
    """`name` is the number of classes: the characters that most faces have, first.

    Of characters that look the same, such as the Latin and the Greek A, only the first is a class.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        super().__init__(split, SIZES, "glyphs")
        most = len(characters())
        if not name.isdigit() or not 1 < int(name) <= most:
            raise UserError(f"config.data.name={name!r}: glyphs is named by its number of classes, from 2 to {most:,}.")
        self._names = characters()[: int(name)]
        self.features: Features = {
            "image": Feature("image", (SIDE, SIDE, 1)),
            "label": Feature("label", (), self._names),
        }

    def read(self, index: Tensor) -> Example:
        """Each is of class i modulo C, of one of its faces, changed."""
        index = index + self._first
        image = drawn(self._names, index, self._number, SIDE, CANVAS)
        return {"image": image, "label": index % len(self._names)}

    def labels(self) -> Int[np.ndarray, " n"]:
        """See Labelled."""
        return (self._first + np.arange(self.size)) % len(self._names)


def drawn(names: tuple[str, ...], index: Tensor, stream: int, side: int, shown: int) -> Tensor:
    """Images uint8 (b, side, side, 1) of the characters i modulo C, each of one of its faces, changed.

    Args:
      index: i, int64 (b,), by which each is drawn.
      stream: a number that splits do not share.
      shown: pixels of the canvas that an unchanged image shows of its middle.
    """
    tf = tensorflow()
    pictures, begins = pictures_of(names)
    with tf.init_scope():
        pictures, begins = tf.constant(pictures), tf.constant(begins)
    label = index % len(names)
    draws = tf.map_fn(
        lambda i: tf.random.stateless_uniform((7,), tf.stack([tf.constant(stream, i.dtype), i])),
        index,
        fn_output_signature=tf.float32,
    )
    first, count = tf.gather(begins, label), tf.gather(begins, label + 1) - tf.gather(begins, label)
    face = first + tf.cast(draws[:, 0] * tf.cast(count, tf.float32), begins.dtype)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.gather(pictures, face)[..., None],
        transforms=_transforms(draws[:, 1:] * 2 - 1, side, shown),
        output_shape=[side, side],
        fill_value=0.0,
        interpolation="BILINEAR",
    )


def _transforms(draws: Tensor, side: int, shown: int) -> Tensor:
    """From places of the image to places of the canvas: rotated, sheared, scaled and shifted about the middle.

    Args:
      draws: float32 (b, 6) in [-1, 1].
      side, shown: see `drawn`.
    """
    tf = tensorflow()
    angle, shear, x_zoom, y_zoom, x, y = tf.unstack(draws, axis=1)
    angle, shear = ROTATION * angle, SHEAR * shear
    x_scale, y_scale = (shown / side * (1 + ZOOM * zoom) for zoom in (x_zoom, y_zoom))
    a, b = x_scale * tf.cos(angle), x_scale * (shear * tf.cos(angle) - tf.sin(angle))
    c, d = y_scale * tf.sin(angle), y_scale * (shear * tf.sin(angle) + tf.cos(angle))
    middle, half = (CANVAS - 1) / 2, (side - 1) / 2
    x, y = half + SHIFT * side * x, half + SHIFT * side * y
    zero = tf.zeros_like(a)
    return tf.stack([a, b, middle - a * x - b * y, c, d, middle - c * x - d * y, zero, zero], axis=1)


@cache
def faces() -> tuple[Path, ...]:
    """The fonts whose characters stand at their Unicode places."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return tuple(sorted(path for kind in ("DejaVuS*", "STIXGeneral*") for path in folder.glob(f"{kind}.ttf")))


@cache
def characters() -> tuple[str, ...]:
    """Letters and digits by the number of faces that have them, then by their code."""
    from matplotlib.ft2font import FT2Font

    having: dict[int, int] = {}
    for path in faces():
        for code in FT2Font(str(path)).get_charmap():
            having[code] = having.get(code, 0) + 1
    common = [code for code, count in having.items() if count >= LEAST and chr(code).isalnum()]
    seen: set[bytes] = set()
    found = []
    plain = FT2Font(str(next(path for path in faces() if path.stem == "DejaVuSans")))
    for code in sorted(common, key=lambda code: (-having[code], code)):
        picture = _picture(plain, code)
        if picture is not None and (look := picture.tobytes()) not in seen:
            seen.add(look)
            found.append(chr(code))
    return tuple(found)


@cache
def pictures_of(
    names: tuple[str, ...],
) -> tuple[UInt8[np.ndarray, "pictures 48 48"], Int[np.ndarray, " classes_and_one"]]:
    """All faces' pictures of some characters, and where those of each character begin."""
    from matplotlib.ft2font import FT2Font

    fonts = [(font, font.get_charmap()) for font in (FT2Font(str(path)) for path in faces())]
    pictures: list[np.ndarray] = []
    begins = [0]
    for name in names:
        own = (_picture(font, ord(name)) for font, there in fonts if ord(name) in there)
        pictures.extend(picture for picture in own if picture is not None)
        begins.append(len(pictures))
    return np.stack(pictures), np.array(begins)


def _picture(font: "FT2Font", code: int) -> UInt8[np.ndarray, "48 48"] | None:
    """A character in white, in the middle of a black square; None if it shows nothing or does not fit."""
    font.set_size(POINTS, 72)
    font.set_text(chr(code))
    font.draw_glyphs_to_bitmap(antialiased=True)
    ink = np.asarray(font.get_image())
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not rows.size:
        return None
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if max(ink.shape) > CANVAS:
        return None
    top, left = ((CANVAS - side) // 2 for side in ink.shape)
    picture = np.zeros((CANVAS, CANVAS), np.uint8)
    picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return picture
