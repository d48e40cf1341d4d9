"""Views of images: crops with other colours, blurred, inverted (2104.14294, section 3; 2006.07733, appendix B).

All that is random of a view follows from the seed, the image's place in the training and the view's number, so that it
is the same whenever and wherever it is asked for. n images, V views, C channels.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from data import augment
from data.order import uniform
from data.pipelines.view_augmentation import Span, Views
from data.resize import Interpolation, resize

RATIO = np.log(4 / 3)  # a crop is at most so much wider than high, or higher than wide (1409.4842)
AREA, ASPECT, TOP, LEFT, FLIP, JITTER, BRIGHTNESS, CONTRAST, SATURATION, HUE, GREY, BLUR, WIDTH, INVERT = range(14)
LUMA = (0.299, 0.587, 0.114)
Cut = Callable[[tf.Tensor, Span, tuple[int, int]], tf.Tensor]


class Settings(Protocol):
    """What is read of a pipeline."""

    views: Views
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation
    antialias: bool

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a global view."""

    @property
    def seed(self) -> int:
        """Of the training."""


def of_batch(settings: Settings, image: tf.Tensor, place: tf.Tensor, train: bool) -> dict[str, tf.Tensor]:
    """The views of images of one size, uint8 (n, height, width, C): image and second, float32 (n, *image_shape), and
    local (n, L, local_size, local_size, C); in evaluation only second.

    Args:
      place: int64 (n,), of each image.
    """

    def cut(draws: tf.Tensor, area: Span, size: tuple[int, int]) -> tf.Tensor:
        height, width = image.shape[1:3]
        top, left, tall, wide = _window(draws, area, float(height), float(width))
        far = [max(height - 1, 1), max(width - 1, 1)]
        corners = tf.stack(
            [top / far[0], left / far[1], (top + tall - 1) / far[0], (left + wide - 1) / far[1]], axis=-1
        )
        which = tf.repeat(tf.range(image.shape[0]), draws.shape[1])
        return tf.image.crop_and_resize(image, tf.reshape(corners, (-1, 4)), which, size) / 255

    return _made(settings, cut, place, train)


def of_one(settings: Settings, image: tf.Tensor, place: tf.Tensor, train: bool) -> dict[str, tf.Tensor]:
    """The same of one image of any size, uint8 (height, width, C), without the first dimension."""

    def cut(draws: tf.Tensor, area: Span, size: tuple[int, int]) -> tf.Tensor:
        shape = tf.cast(tf.shape(image), tf.float32)
        window = tf.cast(tf.round(tf.stack(_window(draws[0], area, shape[0], shape[1]), axis=-1)), tf.int32)
        crops = []
        for view in range(draws.shape[1]):
            top, left, tall, wide = tf.unstack(window[view])
            crop = tf.ensure_shape(image[top : top + tall, left : left + wide], (None, None, len(settings.mean)))
            crops.append(resize(crop, size, settings.interpolation, settings.antialias))
        return tf.cast(tf.stack(crops), tf.float32) / 255

    found = _made(settings, cut, tf.reshape(tf.cast(place, tf.int64), (1,)), train)
    return {name: x[0] for name, x in found.items()}


def _made(settings: Settings, cut: Cut, place: tf.Tensor, train: bool) -> dict[str, tf.Tensor]:
    """Views by name. cut: (draws (n, V, numbers), area, size) -> crops float32 (n V, *size, C) in [0, 1]."""
    views, size = settings.views, settings.image_shape[:2]
    count = 2 + (views.locals if train else 0)
    numbers = tf.range(INVERT + 1, dtype=tf.int64)
    seed = (1, settings.seed) if train else (0, 0)
    draws = uniform(*seed, place[:, None, None], tf.range(count, dtype=tf.int64)[None, :, None], numbers)
    first, second, local = views.blur
    pair = draws[:, :2] if train else draws[:, 1:2]
    chances = [(first, 0.0), (second, views.solarise)] if train else [(second, views.solarise)]

    def made(draws: tf.Tensor, area: Span, size: tuple[int, int], chances: Sequence[tuple[float, float]]) -> tf.Tensor:
        rows, each = draws.shape[:2]
        crops = tf.ensure_shape(cut(draws, area, size), (None, *size, len(settings.mean)))
        flat = tf.reshape(draws, (-1, draws.shape[-1]))
        blur, invert = (tf.tile(tf.constant(x, tf.float32), [rows]) for x in zip(*chances, strict=True))
        changed = augmented(crops, flat, views, blur, invert)
        whole = augment.normalise(255 * changed, settings.mean, settings.std)
        return tf.reshape(whole, (rows, each, *size, len(settings.mean)))

    of_image = made(pair, views.global_area, size, chances)
    found = {"second": of_image[:, -1]}
    if train:
        found["image"] = of_image[:, 0]
        if views.locals:
            small = (views.local_size, views.local_size)
            found["local"] = made(draws[:, 2:], views.local_area, small, [(local, 0.0)] * views.locals)
    return found


def _window(draws: tf.Tensor, area: Span, height: tf.Tensor | float, width: tf.Tensor | float) -> tuple[tf.Tensor, ...]:
    """Top, left, height and width of a random rectangle, float32 (..., ), in pixels. height, width: of the image."""
    share = area[0] + draws[..., AREA] * (area[1] - area[0])
    side = tf.sqrt(share * height * width)
    ratio = tf.exp((draws[..., ASPECT] - 0.5) * RATIO)  # the square root of the width over the height
    tall, wide = tf.clip_by_value(side / ratio, 1.0, height), tf.clip_by_value(side * ratio, 1.0, width)
    return draws[..., TOP] * (height - tall), draws[..., LEFT] * (width - wide), tall, wide


def augmented(x: tf.Tensor, draws: tf.Tensor, views: Views, blur: tf.Tensor, invert: tf.Tensor) -> tf.Tensor:
    """Crops float32 (m, height, width, C) in [0, 1] with other colours, blurred, inverted. draws: (m, numbers)."""
    u = tf.unstack(draws[:, :, None, None, None], axis=1)
    x = tf.where(u[FLIP] < views.flip, tf.reverse(x, axis=[2]), x)
    if views.jitter:
        x = tf.where(u[JITTER] < views.jitter, _jittered(x, u, views), x)
    if views.grey and x.shape[-1] == 3:
        x = tf.where(u[GREY] < views.grey, tf.broadcast_to(_grey(x), tf.shape(x)), x)
    if any(views.blur):
        width = views.blur_width[0] + u[WIDTH] * (views.blur_width[1] - views.blur_width[0])
        x = tf.where(u[BLUR] < blur[:, None, None, None], blurred(x, width[..., 0]), x)
    if views.solarise:
        x = tf.where((u[INVERT] < invert[:, None, None, None]) & (x >= 0.5), 1 - x, x)
    return x


def _jittered(x: tf.Tensor, u: list[tf.Tensor], views: Views) -> tf.Tensor:
    """Brightness, contrast, saturation and hue, in this order; each stays within [0, 1]."""

    def factor(number: int, most: float) -> tf.Tensor:
        return 1 + (2 * u[number] - 1) * most

    x = tf.clip_by_value(x * factor(BRIGHTNESS, views.brightness), 0, 1)
    mean = tf.reduce_mean(_grey(x), axis=(1, 2, 3), keepdims=True)
    x = tf.clip_by_value(mean + (x - mean) * factor(CONTRAST, views.contrast), 0, 1)
    if x.shape[-1] == 1:
        return x
    grey = _grey(x)
    x = tf.clip_by_value(grey + (x - grey) * factor(SATURATION, views.saturation), 0, 1)
    hue, rest = tf.split(tf.image.rgb_to_hsv(x), [1, 2], axis=-1)
    turned = tf.math.floormod(hue + (2 * u[HUE] - 1) * views.hue, 1.0)
    return tf.image.hsv_to_rgb(tf.concat([turned, rest], axis=-1))


def _grey(x: tf.Tensor) -> tf.Tensor:
    """(m, height, width, 1)"""
    return x if x.shape[-1] == 1 else tf.reduce_sum(x * tf.constant(LUMA), axis=-1, keepdims=True)


def blurred(x: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Filtered with a Gaussian, each with its own deviation, width (m, 1, 1); beyond an edge nothing has a weight."""

    def weights(length: int) -> tf.Tensor:
        place = tf.range(length, dtype=tf.float32)
        w = tf.exp(-0.5 * ((place[:, None] - place) / tf.maximum(width, 0.05)) ** 2)
        return w / tf.reduce_sum(w, axis=-1, keepdims=True)

    return tf.einsum("mrh,mcw,mhwk->mrck", weights(x.shape[1]), weights(x.shape[2]), x)
