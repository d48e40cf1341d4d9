"""Images resized with the filters that Pillow and torchvision call by the same names."""

from typing import Literal, TypeAlias

import tensorflow as tf

from data.order import Tensor

Interpolation: TypeAlias = Literal["bilinear", "bicubic", "lanczos3"]
Side: TypeAlias = int | Tensor  # in pixels; a tensor where it follows from the image
KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "lanczos3": "lanczos3"}  # what TensorFlow calls them


def resize(image: tf.Tensor, size: tuple[Side, Side], interpolation: Interpolation, antialias: bool) -> tf.Tensor:
    """An image of another size; the identity where the size is right already.

    Args:
      image: uint8 (height, width, channels).
      size: height and width.
      antialias: whether the filter grows with the factor by which an image shrinks, so that all of its pixels count.

    Returns:
      uint8 (*size, channels), rounded.
    """
    if all(isinstance(side, int) for side in size) and image.shape[:2] == size:
        return image
    if antialias:
        return _antialiased(image, *size, interpolation)
    return _levels(tf.image.resize(image, size, method=interpolation), interpolation)


def _antialiased(image: tf.Tensor, height: Side, width: Side, interpolation: Interpolation) -> tf.Tensor:
    """What tf.image.resize computes, in the same order and thus to the bit, in a third of the time: its kernel is quick
    only along the height, so the image is turned on its side between the two passes.
    """
    channels = image.shape[-1]
    lines = _along_height(tf.reshape(image, (tf.shape(image)[0], -1)), height, interpolation)  # (height, W * channels)
    turned = tf.reshape(tf.transpose(lines), (-1, channels * height))
    columns = _levels(_along_height(turned, width, interpolation), interpolation)  # (width, channels * height)
    return tf.reshape(tf.transpose(tf.reshape(columns, (-1, height))), (height, width, channels))


def _along_height(image: tf.Tensor, height: Side, interpolation: Interpolation) -> tf.Tensor:
    """(n, m) -> float32 (height, m)."""
    found = tf.raw_ops.ScaleAndTranslate(
        images=image[None, :, None],  # of one pixel's width, with m channels
        size=(height, 1),
        scale=tf.stack([tf.cast(height, tf.float32) / tf.cast(tf.shape(image)[0], tf.float32), 1.0]),
        translation=(0.0, 0.0),
        kernel_type=KERNELS[interpolation],
        antialias=True,
    )
    return found[0, :, 0]


def _levels(image: tf.Tensor, interpolation: Interpolation) -> tf.Tensor:
    """float32 -> uint8, rounded. A bilinear mean is within the range; the others overshoot."""
    rounded = tf.round(image)
    return tf.cast(rounded, tf.uint8) if interpolation == "bilinear" else tf.saturate_cast(rounded, tf.uint8)
