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
    low, high = (tf.cast(f(image, axis=(0, 1)), tf.float64) for f in (tf.reduce_min, tf.reduce_max))
    scale = tf.where(high > low, 255 / tf.maximum(high - low, 1), 1)
    shift = tf.where(high > low, low * scale, 0)
    x = tf.cast(_rows(image), tf.float64)  # Pillow truncates double-precision products: less precise ones fall short.
    return tf.reshape(tf.cast(x * _by_row(scale, image) - _by_row(shift, image), tf.uint8), tf.shape(image))


def equalize(image: Image) -> Image:
    """Each channel's levels spread so that every range of them has about as many pixels."""
    channels = image.shape[-1]
    levels = tf.cast(_rows(image), tf.int32) + _by_row(256 * tf.range(channels), image)  # a range for each channel
    counts = tf.reshape(tf.math.bincount(levels, minlength=256 * channels, maxlength=256 * channels), (channels, 256))
    highest = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), axis=1)
    brightest = tf.gather(counts, highest, batch_dims=1)[:, None]
    step = (tf.size(levels) // channels - brightest) // 255
    table = (step // 2 + tf.cumsum(counts, axis=1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))  # (channels, 256)
    return tf.reshape(tf.gather(tf.reshape(tf.cast(table, tf.uint8), (-1,)), levels), tf.shape(image))


def invert(image: Image) -> Image:
    """255 - image."""
    return 255 - image


def posterize(image: Image, bits: int) -> Image:
    """The highest `bits` bits of every value, at least 1 and at most 8."""
    kept = min(max(bits, 1), 8)
    return tf.bitwise.bitwise_and(image, tf.constant(256 - 2 ** (8 - kept), tf.uint8))


def solarize(image: Image, threshold: int) -> Image:
    """Values from `threshold` up inverted."""
    return tf.bitwise.bitwise_xor(image, _from(image, threshold))


def solarize_add(image: Image, addition: int) -> Image:
    """Values below 128 raised by `addition`, at least 0."""
    addition = min(addition, 255)
    raised = tf.minimum(image, 255 - addition) + addition
    changed = tf.bitwise.bitwise_and(tf.bitwise.bitwise_xor(raised, image), _from(image, 128))
    return tf.bitwise.bitwise_xor(raised, changed)


def color(image: Image, factor: float) -> Image:
    """From grey (0) past the image (1) to more vivid colours; an image of one channel stays."""
    return _blend(_luma(image), image, factor)


def contrast(image: Image, factor: float) -> Image:
    """From the mean grey (0) past the image (1) to more contrast."""
    mean = tf.floor(tf.reduce_mean(tf.cast(_luma(image), tf.float64)) + 0.5)
    return _blend(tf.cast(mean, tf.float32), image, factor)


def brightness(image: Image, factor: float) -> Image:
    """From black (0) past the image (1) to brighter."""
    return _blend(tf.constant(0.0), image, factor)


def sharpness(image: Image, factor: float) -> Image:
    """From a slight blur (0) past the image (1) to sharper; the outermost pixels stay."""
    one = image.shape[-1]  # pixel, in a row
    rows = _rows(image)
    x = tf.cast(rows, tf.float32)
    three = x[:-2] + x[1:-1] + x[2:]
    nine = three[:, : -2 * one] + three[:, one:-one] + three[:, 2 * one :]
    smooth = tf.floor((nine + 4 * x[1:-1, one:-one]) / 13 + 0.5)
    inside = _blend(smooth, rows[1:-1, one:-one], factor)
    middle = tf.concat([rows[1:-1, :one], inside, rows[1:-1, -one:]], axis=1)
    whole = tf.concat([rows[:1], middle[:, : tf.shape(rows)[1]], rows[-1:]], axis=0)
    return tf.reshape(whole[: tf.shape(rows)[0]], tf.shape(image))  # which cuts what is one pixel wide or high


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
    shift = tf.cast(tf.round(share * _width(image)), tf.int32) * image.shape[-1]
    return _moved(image, 1, shift)


def translate_y(image: Image, share: Number) -> Image:
    """Up by a share of the height, in whole pixels."""
    return _moved(image, 0, tf.cast(tf.round(share * _height(image)), tf.int32))


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


def _rows(image: Image) -> tf.Tensor:
    """uint8 (height, width * channels): operations on channels of their own are slow where these are the last axis."""
    return tf.reshape(image, (tf.shape(image)[0], tf.shape(image)[1] * image.shape[-1]))


def _by_row(values: tf.Tensor, image: Image) -> tf.Tensor:
    """Numbers (channels,) for each pixel of a row: (width * channels,)."""
    return tf.tile(values, [tf.shape(image)[1]])


def _from(image: Image, threshold: int) -> tf.Tensor:
    """uint8 like the image: all bits are set where a value is at least `threshold`, else none."""
    if threshold > 255:
        return tf.zeros_like(image)
    return tf.cast(image >= max(threshold, 0), tf.uint8) * 255


def _luma(image: Image) -> tf.Tensor:
    """ITU-R 601-2 grey in Pillow's fixed point, in every channel: float32, whose 24 bits hold all of its integers."""
    x = tf.cast(image, tf.float32)
    if image.shape[-1] == 1:
        return x
    weights = tf.tile(tf.constant(((19595.0,), (38470.0,), (7471.0,))), (1, 3))
    weighted = tf.reshape(tf.linalg.matmul(tf.reshape(x, (-1, 3)), weights), tf.shape(image))
    return tf.floor((weighted + 2.0**15) * 2.0**-16)


def _blend(degenerate: tf.Tensor, image: Image, factor: float) -> Image:
    """degenerate, float32, (0) to image (1) and beyond, clipped and, as Pillow does, truncated."""
    return tf.saturate_cast(degenerate + factor * (tf.cast(image, tf.float32) - degenerate), tf.uint8)


def _moved(image: Image, axis: int, shift: tf.Tensor) -> Image:
    """Up (axis 0) by rows or left (1) by values of a row: what comes in is grey."""
    rows, far = _rows(image), tf.abs(shift)
    padded = tf.pad(rows, tf.one_hot([axis, axis], 2, far, 0, axis=0), constant_values=int(GREY))
    begin = tf.one_hot(axis, 2, far + shift, 0)
    return tf.reshape(tf.slice(padded, begin, tf.shape(rows)), tf.shape(image))


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
    return tf.cast(tf.round(warped[0]), tf.uint8)


def _height(image: Image) -> tf.Tensor:
    return tf.cast(tf.shape(image)[0], tf.float32)


def _width(image: Image) -> tf.Tensor:
    return tf.cast(tf.shape(image)[1], tf.float32)
