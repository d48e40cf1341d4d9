"""An image on a canvas of fixed size, and its boxes moved with it, from one draw."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data.images import decode
from data.label_maps import checked
from data.pipelines.box_augmentation import AREA, Augment


class View(NamedTuple):
    """What is seen of an image.

    Attributes:
      image: uint8 (height, width, channels) of the canvas, padded at the bottom and on the right.
      inside: float32 (height, width, 1), 0 where there is padding.
      extent: float32 (2,), the image's share of the canvas's height and width.
      boxes: float32 (n, 4), (ymin, xmin, ymax, xmax) as shares of the image that is seen.
      seen: bool (n,), whether enough of a box is.
      size: int32 (2,), height and width of the whole image before.
    """

    image: tf.Tensor
    inside: tf.Tensor
    extent: tf.Tensor
    boxes: tf.Tensor
    seen: tf.Tensor
    size: tf.Tensor


def view(
    image: tf.Tensor,
    boxes: tf.Tensor,
    canvas: tuple[int, int, int],
    fit: bool,
    short_side: int,
    settings: Augment | None,
    seed: tf.Tensor | None,
) -> View:
    """A view of an image: the whole of it; in training a random part, or all of it made smaller.

    Args:
      image: encoded bytes, or uint8 (height, width, channels).
      boxes: float32 (n, 4), (ymin, xmin, ymax, xmax) as shares of the image.
      canvas: height, width and channels.
      fit: whether the image keeps its shape; else it fills the canvas.
      short_side: see Pipeline of data/pipelines/boxes.py.
      settings: what is drawn; None for nothing.
      seed: int64 (2,).
    """
    pixels = tf.ensure_shape(decode(image, canvas[2]), (None, None, canvas[2]))
    size = tf.shape(pixels)[:2]
    canvas_size, whole = tf.constant(canvas[:2], tf.float32), tf.cast(size, tf.float32)
    boxes = tf.clip_by_value(tf.reshape(tf.cast(boxes, tf.float32), (-1, 4)), 0, 1)
    areas = _areas(boxes)
    factor = canvas_size / whole
    if fit:
        one = tf.reduce_min(factor)
        if short_side:
            one = tf.minimum(one, short_side / tf.reduce_min(whole))
        factor = tf.stack([one, one])
    if settings is None and image.dtype != tf.string and tuple(image.shape) == canvas and not short_side:
        ones = tf.ones((*canvas[:2], 1))
        return View(pixels, ones, tf.ones(2), boxes, areas > AREA, size)
    seen = areas > AREA
    if settings is not None:
        draws = tf.random.stateless_uniform((10,), seed)
        low, high = settings.scale
        factor *= low * (high / low) ** draws[0]
        if settings.aspect > 1:
            by = settings.aspect ** (draws[1] - 0.5)
            factor *= tf.stack([1 / by, by])
        # The part of the image that the canvas has room for, as shares of it.
        share = tf.minimum(canvas_size / (whole * factor), 1.0)
        begin = draws[2:4] * (1 - share)
        first = tf.cast(tf.round(begin * whole), tf.int32)
        last = tf.maximum(first + 1, tf.cast(tf.round((begin + share) * whole), tf.int32))
        pixels = pixels[first[0] : last[0], first[1] : last[1]]
        begin, part = tf.cast(first, tf.float32) / whole, tf.cast(last - first, tf.float32) / whole
        moved = (boxes - tf.tile(begin, [2])) / tf.tile(part, [2])
        boxes = tf.clip_by_value(moved, 0, 1)
        kept = _areas(boxes) * tf.reduce_prod(part)
        seen &= (kept >= settings.least_seen * areas) & (kept > AREA)
        pixels, boxes = _mirrored(pixels, boxes, settings, draws[4:6])
        whole = tf.cast(tf.shape(pixels)[:2], tf.float32)
    target = tf.clip_by_value(tf.cast(tf.round(whole * factor), tf.int32), 1, canvas[:2])
    resized = tf.image.resize(pixels, target, "bilinear", antialias=True)
    if settings is not None:
        resized = _coloured(resized, settings, draws[6:10])
    resized = tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)
    out = tf.image.pad_to_bounding_box(resized, 0, 0, *canvas[:2])
    rows, columns = (tf.range(length) < target[axis] for axis, length in enumerate(canvas[:2]))
    inside = tf.cast(rows[:, None] & columns[None], tf.float32)[..., None]
    extent = tf.cast(target, tf.float32) / canvas_size
    return View(tf.ensure_shape(out, canvas), inside, extent, boxes, seen, size)


def upright(seen: View, stated: tf.Tensor) -> View:
    """The view of an image whose annotations say this height and width, 0 where they do not.

    Raises:
      ValueError: they are those of the image turned, as it is without its EXIF: then its boxes are of another view.
    """

    def message(sizes: np.ndarray) -> str:
        mine, its = ("x".join(map(str, size)) for size in sizes)
        return (
            f"its annotations are of {its} pixels (height x width), and it has {mine}, turned as its EXIF says: save "
            "it turned, or without EXIF."
        )

    turned = tf.reduce_all(tf.equal(seen.size, stated[::-1])) & (seen.size[0] != seen.size[1])
    return seen._replace(size=checked(~turned, seen.size, message, tf.stack([seen.size, stated])))


def _areas(boxes: tf.Tensor) -> tf.Tensor:
    return tf.reduce_prod(tf.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def _mirrored(pixels: tf.Tensor, boxes: tf.Tensor, settings: Augment, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An image and its boxes, mirrored or not."""
    top, left, bottom, right = tf.unstack(boxes, axis=1)
    if settings.flip:
        turned, before = draws[0] < 0.5, pixels
        pixels = tf.cond(turned, lambda: tf.reverse(before, [1]), lambda: before)
        left, right = tf.where(turned, 1 - right, left), tf.where(turned, 1 - left, right)
    if settings.flip_vertical:
        upended, upright = draws[1] < 0.5, pixels
        pixels = tf.cond(upended, lambda: tf.reverse(upright, [0]), lambda: upright)
        top, bottom = tf.where(upended, 1 - bottom, top), tf.where(upended, 1 - top, bottom)
    return pixels, tf.stack([top, left, bottom, right], axis=1)


def _coloured(image: tf.Tensor, settings: Augment, draws: tf.Tensor) -> tf.Tensor:
    """An image, float32 of 0 to 255, with other brightness, contrast, saturation and hue."""
    by = 1 + (2 * draws[:3] - 1) * tf.constant([settings.brightness, settings.contrast, settings.saturation])
    if settings.brightness:
        image = image * by[0]
    if settings.contrast:
        mean = tf.reduce_mean(image)
        image = mean + (image - mean) * by[1]
    if image.shape[-1] == 3:
        if settings.saturation:
            grey = tf.image.rgb_to_grayscale(image)
            image = grey + (image - grey) * by[2]
        if settings.hue:
            image = 255 * tf.image.adjust_hue(tf.clip_by_value(image / 255, 0, 1), (2 * draws[3] - 1) * settings.hue)
    return image
