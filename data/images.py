"""From an encoded or decoded image to the array a model takes, one image at a time.

Seeds are int64 pairs; the same seed gives the same image, whenever and wherever it is asked for.
"""

from collections.abc import Callable

import tensorflow as tf

from data import image_file, randaugment
from data.resize import Interpolation, resize

MARGIN = 16  # pixels


def for_training(
    image: tf.Tensor,
    seed: tf.Tensor,
    *,
    size: tuple[int, int],
    channels: int,
    crop: str,
    crop_min_area: float,
    interpolation: Interpolation,
    antialias: bool,
    randaugment_layers: int,
    randaugment_magnitude: float,
) -> tf.Tensor:
    """A random view of an image: uint8 (*size, channels).

    Args:
      size: height and width.
      image: encoded bytes, or uint8 (height, width, channels).
      crop: "random" takes a random rectangle of at least `crop_min_area` of the image, between 3:4 and 4:3
        (1409.4842); "none" takes all of it.
      interpolation, antialias: see data/resize.py.
    """
    crop_seed, augment_seed = tf.unstack(tf.random.split(seed, 2))
    if crop == "random":
        image = _part(image, channels, lambda shape: random_window(shape, crop_seed, crop_min_area))
    else:
        image = decode(image, channels)
    image = resize(tf.ensure_shape(image, (None, None, channels)), size, interpolation, antialias)
    if randaugment_layers:
        image = randaugment.apply(image, augment_seed, randaugment_layers, randaugment_magnitude)
    return tf.ensure_shape(image, (*size, channels))


def for_evaluation(
    image: tf.Tensor,
    *,
    size: tuple[int, int],
    channels: int,
    crop: str,
    crop_share: float,
    interpolation: Interpolation,
    antialias: bool,
) -> tf.Tensor:
    """The one view of an image that is scored: uint8 (*size, channels).

    Args:
      crop: "center" takes the middle square whose side is `crop_share` of the shorter side; "none" takes all.
      interpolation, antialias: see data/resize.py.
    """
    if crop == "center":
        image = _part(image, channels, lambda shape: _middle_window(shape, crop_share), MARGIN)
    else:
        image = decode(image, channels)
    image = tf.ensure_shape(image, (None, None, channels))
    return tf.ensure_shape(resize(image, size, interpolation, antialias), (*size, channels))


def decode(image: tf.Tensor, channels: int) -> tf.Tensor:
    """The bytes of a file, or an array with 1, 3 or 4 channels -> uint8 (height, width, channels). What is transparent
    becomes white.
    """
    if image.dtype == tf.string:
        return image_file.pixels(image, channels, image_file.plain(image))
    if image.shape[-1] == 4:
        opaque = tf.cast(image[..., 3:], tf.float32) / 255
        over_white = tf.cast(image[..., :3], tf.float32) * opaque + 255 * (1 - opaque)
        image = tf.cast(tf.round(over_white), tf.uint8)
    if image.shape[-1] == channels:
        return image
    return tf.image.grayscale_to_rgb(image) if channels == 3 else tf.image.rgb_to_grayscale(image)


def _part(image: tf.Tensor, channels: int, window: Callable[[tf.Tensor], tf.Tensor], margin: int = 0) -> tf.Tensor:
    """Part of an image: uint8 (height, width, channels). A plain JPEG is decoded only there.

    Args:
      window: int32 (3,) height, width and channels of the image -> int32 (4,) top, left, height and width of the part.
      margin: pixels around the window that a JPEG is decoded with. Without them the last column can be another than
        that of the whole image, because the colours, of half the resolution, are interpolated.
    """

    def cut(whole: tf.Tensor) -> tf.Tensor:
        top, left, height, width = tf.unstack(window(tf.shape(whole)))
        return whole[top : top + height, left : left + width]

    if image.dtype != tf.string:
        return decode(cut(image), channels)
    plain = image_file.plain(image)

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(image)
        wanted = window(shape)
        if not margin:
            return tf.image.decode_and_crop_jpeg(image, wanted, channels=channels)
        begin = tf.maximum(wanted[:2] - margin, 0)
        end = tf.minimum(wanted[:2] + wanted[2:] + margin, shape[:2])
        found = tf.image.decode_and_crop_jpeg(image, tf.concat([begin, end - begin], 0), channels=channels)
        (top, left), (height, width) = tf.unstack(wanted[:2] - begin), tf.unstack(wanted[2:])
        return found[top : top + height, left : left + width]

    return tf.cond(tf.io.is_jpeg(image) & plain, jpeg, lambda: cut(image_file.pixels(image, channels, plain)))


def random_window(shape: tf.Tensor, seed: tf.Tensor, min_area: float) -> tf.Tensor:
    """The top, left, height and width, int32 (4,), of a random rectangle of an image of this shape (1409.4842).

    Args:
      shape: height, width and channels.
      seed: int (2,).
      min_area: its least share of the image.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        area_range=(min_area, 1.0),
        min_object_covered=0.0,
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], extent[:2]], 0)


def _middle_window(shape: tf.Tensor, share: float) -> tf.Tensor:
    """The middle square whose side is `share` of the shorter side."""
    side = tf.cast(tf.round(tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * share), tf.int32)
    side = tf.maximum(side, 1)
    return tf.concat([(shape[:2] - side) // 2, [side, side]], 0)
