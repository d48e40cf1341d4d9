"""RandAugment (1909.13719): a few operations, drawn with equal chance, one after the other, all at one magnitude.

The magnitude is that of the paper and of TensorFlow's original implementation: 10 is each range's end, the figure in
OPERATIONS, and larger ones continue the same line (the paper's EfficientNet-B7 takes 28, 2106.10270 up to 20). As
there, it is not strength throughout: 5 leaves color, contrast, brightness and sharpness as they are, with less below
and more above; posterize keeps more bits and solarize inverts fewer pixels, none at 10, as it grows. Shifts are a share
of the side, 0.45 for 100 of 224 pixels; Cutout is left out.

What an operation does is what Pillow's ImageOps and ImageEnhance do, to the grey level. Warps are bilinear, filled with
mid grey. An image is uint8 (height, width, channels) with 1 or 3 channels, the sides known or not.
"""

import functools
import math
from typing import TypeAlias

import numpy as np
import tensorflow as tf

Image: TypeAlias = tf.Tensor  # uint8 (height, width, channels)
Number: TypeAlias = float | tf.Tensor  # float32 ()

GREY = 128.0


def apply(image: Image, seed: tf.Tensor, layers: int, magnitude: float) -> Image:
    """An image after `layers` random operations.

    Args:
      image: uint8 (height, width, channels), 1 or 3 channels.
      seed: int64 (2,); the same seed draws the same operations.
      magnitude: 0 to 10, or up to 30; see above.
    """
    which, sign = draw(seed, layers)
    for layer in range(layers):
        branches = [functools.partial(f, image, magnitude / 10, sign[layer]) for f in OPERATIONS.values()]
        image = tf.ensure_shape(tf.switch_case(which[layer], branches), image.shape)
    return image


def draw(seed: tf.Tensor, layers: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Which of OPERATIONS each layer takes, int32 (layers,), and -1 or 1, which way a warp goes, float32 (layers,)."""
    drawn = tf.random.stateless_uniform((layers,), seed, 0, 2 * len(OPERATIONS), tf.int32)
    return drawn // 2, tf.cast(1 - 2 * (drawn % 2), tf.float32)


def autocontrast(image: Image) -> Image:
    """Each channel stretched to reach from 0 to 255; a constant one stays."""
    x = tf.cast(image, tf.float64)  # Pillow truncates double-precision products: less precise ones fall a level short.
    low, high = tf.reduce_min(x, axis=(0, 1)), tf.reduce_max(x, axis=(0, 1))
    scale = 255 / tf.maximum(high - low, 1)
    return tf.where(high > low, tf.saturate_cast(x * scale - low * scale, tf.uint8), image)


def equalize(image: Image) -> Image:
    """Each channel's levels spread so that every range of them has about as many pixels."""
    levels = tf.transpose(tf.reshape(tf.cast(image, tf.int32), (-1, image.shape[-1])))  # (channels, pixels)
    counts = tf.math.bincount(levels, minlength=256, maxlength=256, axis=-1)
    brightest = tf.gather(counts, tf.reduce_max(levels, axis=1), batch_dims=1)[:, None]
    step = (tf.shape(levels)[1] - brightest) // 255
    table = (step // 2 + tf.cumsum(counts, axis=1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))  # (channels, 256)
    equalized = tf.gather(tf.cast(table, tf.uint8), levels, batch_dims=1)
    return tf.reshape(tf.transpose(equalized), tf.shape(image))


def invert(image: Image) -> Image:
    """255 - image."""
    return 255 - image


def posterize(image: Image, bits: int) -> Image:
    """The highest `bits` bits of every value, at least 1 and at most 8."""
    kept = min(max(bits, 1), 8)
    return tf.bitwise.bitwise_and(image, tf.constant(256 - 2 ** (8 - kept), tf.uint8))


def solarize(image: Image, threshold: int) -> Image:
    """Values from `threshold` up inverted."""
    return tf.where(tf.cast(image, tf.int32) < threshold, image, 255 - image)


def solarize_add(image: Image, addition: int) -> Image:
    """Values below 128 raised by `addition`."""
    raised = tf.saturate_cast(tf.cast(image, tf.int32) + addition, tf.uint8)
    return tf.where(image < 128, raised, image)


def color(image: Image, factor: float) -> Image:
    """From grey (0) past the image (1) to more vivid colours; an image of one channel stays."""
    return _blend(_luma(image), image, factor)


def contrast(image: Image, factor: float) -> Image:
    """From the mean grey (0) past the image (1) to more contrast."""
    return _blend(tf.floor(tf.reduce_mean(tf.cast(_luma(image), tf.float64)) + 0.5), image, factor)


def brightness(image: Image, factor: float) -> Image:
    """From black (0) past the image (1) to brighter."""
    return _blend(tf.zeros_like(image), image, factor)


def sharpness(image: Image, factor: float) -> Image:
    """From a slight blur (0) past the image (1) to sharper; the outermost pixels stay."""
    kernel = np.ones((3, 3, image.shape[-1], 1), np.float32)
    kernel[1, 1] = 5
    x = tf.cast(image, tf.float32)
    smooth = tf.floor(tf.nn.depthwise_conv2d(x[None], kernel, (1, 1, 1, 1), "SAME")[0] / 13 + 0.5)
    row, column = (tf.range(n) for n in tf.unstack(tf.shape(image)[:2]))
    inside = ((row > 0) & (row < row[-1]))[:, None, None] & ((column > 0) & (column < column[-1]))[:, None]
    return _blend(tf.where(inside, smooth, x), image, factor)


def rotate(image: Image, degrees: Number) -> Image:
    """Counterclockwise about the middle."""
    cos, sin = tf.cos(degrees * (math.pi / 180)), tf.sin(degrees * (math.pi / 180))
    x, y = _width(image) / 2, _height(image) / 2
    return _affine(image, cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def shear_x(image: Image, slope: Number) -> Image:
    """The top edge stays; what is n pixels below it moves left by slope * n."""
    return _affine(image, 1.0, slope, 0.0, 0.0, 1.0, 0.0)


def shear_y(image: Image, slope: Number) -> Image:
    """The left edge stays; what is n pixels right of it moves up by slope * n."""
    return _affine(image, 1.0, 0.0, 0.0, slope, 1.0, 0.0)


def translate_x(image: Image, share: Number) -> Image:
    """Left by a share of the width, in whole pixels, which keeps it sharp."""
    return _affine(image, 1.0, 0.0, tf.round(share * _width(image)), 0.0, 1.0, 0.0)


def translate_y(image: Image, share: Number) -> Image:
    """Up by a share of the height, in whole pixels."""
    return _affine(image, 1.0, 0.0, 0.0, 0.0, 1.0, tf.round(share * _height(image)))


# Of an image, m = magnitude / 10 and a sign. The order is what a seed means: add at the end.
OPERATIONS = {
    "autocontrast": lambda image, m, sign: autocontrast(image),
    "equalize": lambda image, m, sign: equalize(image),
    "invert": lambda image, m, sign: invert(image),
    "posterize": lambda image, m, sign: posterize(image, int(m * 4)),
    "solarize": lambda image, m, sign: solarize(image, int(m * 256)),
    "solarize_add": lambda image, m, sign: solarize_add(image, int(m * 110)),
    "color": lambda image, m, sign: color(image, m * 1.8 + 0.1),
    "contrast": lambda image, m, sign: contrast(image, m * 1.8 + 0.1),
    "brightness": lambda image, m, sign: brightness(image, m * 1.8 + 0.1),
    "sharpness": lambda image, m, sign: sharpness(image, m * 1.8 + 0.1),
    "rotate": lambda image, m, sign: rotate(image, sign * m * 30),
    "shear_x": lambda image, m, sign: shear_x(image, sign * m * 0.3),
    "shear_y": lambda image, m, sign: shear_y(image, sign * m * 0.3),
    "translate_x": lambda image, m, sign: translate_x(image, sign * m * 0.45),
    "translate_y": lambda image, m, sign: translate_y(image, sign * m * 0.45),
}


def _luma(image: Image) -> tf.Tensor:
    """ITU-R 601-2 grey in Pillow's fixed point: int32 (height, width, 1)."""
    if image.shape[-1] == 1:
        return tf.cast(image, tf.int32)
    weighted = tf.cast(image, tf.int32) * tf.constant((19595, 38470, 7471))
    return (tf.reduce_sum(weighted, axis=-1, keepdims=True) + 2**15) // 2**16


def _blend(degenerate: tf.Tensor, image: Image, factor: float) -> Image:
    """degenerate (0) to image (1) and beyond, clipped and, as Pillow does, truncated."""
    start, end = tf.cast(degenerate, tf.float32), tf.cast(image, tf.float32)
    return tf.saturate_cast(start + factor * (end - start), tf.uint8)


def _affine(image: Image, a: Number, b: Number, x: Number, c: Number, d: Number, y: Number) -> Image:
    """(u, v) of the result shows (a u + b v + x, c u + d v + y) of the image, measured in pixels from its corner."""
    # The kernel measures from the first pixel's middle, and would truncate uint8: a plain area could lose a level.
    transform = tf.stack([a, b, x + (a + b - 1) / 2, c, d, y + (c + d - 1) / 2, 0.0, 0.0])
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=transform[None],
        output_shape=tf.shape(image)[:2],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=GREY,
    )
    return tf.saturate_cast(tf.round(warped[0]), tf.uint8)


def _height(image: Image) -> tf.Tensor:
    return tf.cast(tf.shape(image)[0], tf.float32)


def _width(image: Image) -> tf.Tensor:
    return tf.cast(tf.shape(image)[1], tf.float32)
