"""Images with a label map: a class for each pixel. How label images are read, and views that move both alike.

Seeds are int64 pairs; the same seed gives the same view, whenever and wherever it is asked for.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from data import images
from data.image_file import MOST_PIXELS
from data.order import python
from data.resize import Interpolation, resize

IGNORED = -1  # the class of a pixel that is neither learned nor scored
LOSSLESS = ("BMP", "GIF", "PNG", "TIFF", "WEBP")
GREY_PNG = r"\x89PNG\r\n\x1a\n\C{16}\x08\x00"  # how a PNG of 8 bits, grey, begins
GREYS = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of one number a pixel


def decode(label: tf.Tensor, channel: int) -> tf.Tensor:
    """A label image as the numbers in it: int32 (height, width).

    Args:
      label: the bytes of a file, or integers (height, width) or (height, width, channels).
      channel: of an image in colour, which holds the classes; -1 where none does.
    """
    if label.dtype == tf.string:
        grey = tf.strings.regex_full_match(tf.strings.substr(label, 0, 26), GREY_PNG)

        def others() -> tf.Tensor:
            return python(lambda file: read(file, channel), [label], tf.int32)

        found = tf.cond(grey, lambda: tf.cast(tf.io.decode_png(label, channels=1)[..., 0], tf.int32), others)
        return tf.ensure_shape(found, (None, None))
    if label.shape.rank == 2:
        return tf.cast(label, tf.int32)
    if channel < 0:
        label = checked(tf.reduce_all(label == label[..., :1]), label, lambda _: IN_COLOUR)
    return tf.cast(label[..., max(channel, 0)], tf.int32)


def checked(
    right: tf.Tensor, x: tf.Tensor, message: Callable[[np.ndarray], str], told: tf.Tensor | None = None
) -> tf.Tensor:
    """x where `right`; else an error whose message is made of `told`."""

    def refuse(told: np.ndarray) -> np.ndarray:
        raise ValueError(message(told))

    def wrong() -> tf.Tensor:
        return tf.numpy_function(refuse, [tf.zeros(()) if told is None else told], x.dtype, stateful=False)

    return tf.ensure_shape(tf.cond(right, lambda: x, wrong), x.shape)


IN_COLOUR = (
    "its label image is in colour, and should have the number of a class for each pixel: convert it, or set "
    "config.data.label_channel=0 if its red channel holds these numbers."
)


def read(file: bytes, channel: int) -> np.ndarray:
    """The numbers of a label image's file, int32 (height, width): of one with a palette, the indices.

    Raises:
      ValueError: it cannot be read, or is in colour.
    """
    try:
        image = Image.open(io.BytesIO(file))
    except Exception:  # Pillow raises anything, here and below
        raise ValueError("its label image is damaged, or none of " + ", ".join(LOSSLESS) + ".") from None
    if image.format not in LOSSLESS:
        raise ValueError(f"its label image is a {image.format}, which changes numbers: save it as PNG.")
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"its label image has more than {MOST_PIXELS:,} pixels.")
    try:
        found = np.asarray(image)
    except Exception as error:
        raise ValueError(f"its label image is damaged ({' '.join(str(error).split())}).") from None
    if image.mode in GREYS:
        return found.astype(np.int32)
    if found.dtype != np.uint8:
        raise ValueError(f"its label image has fractions ({image.mode}): save it as PNG of 8 or 16 bits.")
    colours = found[..., : 1 if image.mode == "LA" else 3]
    if channel < 0 and (colours != colours[..., :1]).any():
        raise ValueError(IN_COLOUR)
    return found[..., max(channel, 0)].astype(np.int32)


@dataclass(frozen=True)
class View:
    """How images and label maps become those of one size.

    Attributes:
      size: height and width that they are cropped and filled up to.
      short_side: of an image that is resized.
      channels: of the image.
      interpolation, antialias: of the image: see data/resize.py. Label maps take the nearest pixel.
    """

    size: tuple[int, int]
    short_side: int
    channels: int
    interpolation: Interpolation
    antialias: bool

    def random(
        self, image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor, scales: tuple[float, float], flip: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Resized by a random factor beyond `short_side`, cropped or filled up at a random place, perhaps mirrored.

        Args:
          image: encoded, or uint8 (height, width, channels).
          label: int32 (height, width).
          scales: least and largest factor, between which its logarithm is drawn.

        Returns:
          image uint8 (*size, channels), black where it is filled up; label int32 (*size), IGNORED there.
        """
        image = alike(images.decode(image, self.channels), label)
        draws = tf.random.stateless_uniform((4,), seed)
        low, high = np.log(scales)
        factor = self._factor(image) * tf.exp(low + draws[0] * (high - low))
        image, label = self._resized(image, label, factor)
        place = [_place(tf.shape(label)[axis], self.size[axis], draws[1 + axis]) for axis in (0, 1)]
        image, label = self._placed(image, label, place)
        if flip:
            image, label = tf.cond(
                draws[3] < 0.5,
                lambda: (tf.reverse(image, [1]), tf.reverse(label, [1])),
                lambda: (image, label),
            )
        return image, label

    def whole(self, image: tf.Tensor, label: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """All of an image, no larger than `size`, at the top left; what is filled up is black, and IGNORED.

        Args:
          image: encoded, or uint8 (height, width, channels).
          label: int32 (height, width), or None for an image that has none.

        Returns:
          As `random`, and the height and width of what is not filled up, int32 (2,).
        """
        image = images.decode(image, self.channels)
        label = tf.zeros(tf.shape(image)[:2], tf.int32) if label is None else label
        image = alike(image, label)
        most = tf.cast(self.size, tf.float32) / tf.cast(tf.shape(label), tf.float32)
        factor = tf.minimum(self._factor(image), tf.reduce_min(most))
        image, label = self._resized(image, label, factor)
        size = tf.shape(label)
        return *self._placed(image, label, [tf.constant(0)] * 2), size

    def _factor(self, image: tf.Tensor) -> tf.Tensor:
        return self.short_side / tf.cast(tf.reduce_min(tf.shape(image)[:2]), tf.float32)

    def _resized(self, image: tf.Tensor, label: tf.Tensor, factor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        old = tf.shape(label)
        new = tf.maximum(tf.cast(tf.round(tf.cast(old, tf.float32) * factor), tf.int32), 1)

        def other() -> tuple[tf.Tensor, tf.Tensor]:
            found = resize(image, (new[0], new[1]), self.interpolation, self.antialias)
            return found, tf.image.resize(label[..., None], new, method="nearest")[..., 0]

        found, moved = tf.cond(tf.reduce_all(new == old), lambda: (image, label), other)
        return tf.ensure_shape(found, (None, None, self.channels)), tf.ensure_shape(moved, (None, None))

    def _placed(self, image: tf.Tensor, label: tf.Tensor, place: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Cropped and filled up. place: the row and column of the result's first pixel; below 0 to fill up before."""
        (top, left), (height, width) = place, self.size
        image = image[tf.maximum(top, 0) : top + height, tf.maximum(left, 0) : left + width]
        label = label[tf.maximum(top, 0) : top + height, tf.maximum(left, 0) : left + width]
        before = tf.stack([tf.maximum(-top, 0), tf.maximum(-left, 0)])
        padding = tf.stack([before, tf.constant(self.size) - before - tf.shape(label)], axis=1)
        image = tf.pad(image, tf.concat([padding, [[0, 0]]], 0))
        label = tf.pad(label, padding, constant_values=IGNORED)
        return tf.ensure_shape(image, (*self.size, self.channels)), tf.ensure_shape(label, self.size)


def alike(image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """The image, whose label map must have its size."""
    sizes = tf.shape(image)[:2], tf.shape(label)

    def message(sizes: np.ndarray) -> str:
        mine, its = ("x".join(map(str, size)) for size in sizes)
        return f"the image has {mine} pixels (height x width), and its label image {its}."

    return checked(tf.reduce_all(sizes[0] == sizes[1]), image, message, tf.stack(sizes))


def _place(there: tf.Tensor, wanted: int, draw: tf.Tensor) -> tf.Tensor:
    """A random place among those where all of the smaller lies within the larger."""
    spare = there - wanted
    chosen = tf.cast(draw * tf.cast(tf.abs(spare) + 1, tf.float32), tf.int32)
    return tf.where(spare < 0, -chosen, chosen)


def jittered(
    image: tf.Tensor, seed: tf.Tensor, brightness: float, contrast: float, saturation: float, hue: float
) -> tf.Tensor:
    """An image uint8 (height, width, channels) in other light.

    Args:
      brightness: up to so much of the full brightness is added or taken.
      contrast: differences from the image's mean become up to so much larger or smaller.
      saturation: so do those from grey; hue: turned by up to so much of the circle. Both for images in colour.
    """
    u = tf.random.stateless_uniform((4,), seed, -1.0, 1.0)
    x = tf.cast(image, tf.float32) / 255
    if image.shape[-1] == 3:
        if hue:
            x = tf.image.adjust_hue(x, u[3] * hue)
        if saturation:
            grey = tf.image.rgb_to_grayscale(x)
            x = grey + (x - grey) * (1 + u[2] * saturation)
    mean = tf.reduce_mean(x)
    x = mean + (x - mean) * (1 + u[1] * contrast) + u[0] * brightness
    return tf.saturate_cast(tf.round(x * 255), tf.uint8)
