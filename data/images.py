"""From an encoded or decoded image to the array a model takes, one image at a time.

Seeds are int64 pairs; the same seed gives the same image, whenever and wherever it is asked for.
"""

import tensorflow as tf

from data import image_file, randaugment


def for_training(
    image: tf.Tensor,
    seed: tf.Tensor,
    *,
    size: tuple[int, int],
    channels: int,
    crop: str,
    crop_min_area: float,
    randaugment_layers: int,
    randaugment_magnitude: float,
) -> tf.Tensor:
    """A random view of an image: uint8 (*size, channels).

    Args:
      size: height and width.
      image: encoded bytes, or uint8 (height, width, channels).
      crop: "random" takes a random rectangle of at least `crop_min_area` of the image, between 3:4 and 4:3
        (1409.4842); "none" takes all of it.
    """
    crop_seed, augment_seed = tf.unstack(tf.random.split(seed, 2))
    image = _random_crop(image, crop_seed, channels, crop_min_area) if crop == "random" else decode(image, channels)
    image = _resize(tf.ensure_shape(image, (None, None, channels)), *size)
    if randaugment_layers:
        image = randaugment.apply(image, augment_seed, randaugment_layers, randaugment_magnitude)
    return tf.ensure_shape(image, (*size, channels))


def for_evaluation(
    image: tf.Tensor, *, size: tuple[int, int], channels: int, crop: str, crop_share: float
) -> tf.Tensor:
    """The one view of an image that is scored: uint8 (*size, channels).

    Args:
      crop: "center" takes the middle square whose side is `crop_share` of the shorter side; "none" takes all.
    """
    image = decode(image, channels)
    if crop == "center":
        shape = tf.shape(image)
        side = tf.cast(tf.round(tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * crop_share), tf.int32)
        image = tf.image.resize_with_crop_or_pad(image, side, side)
    return tf.ensure_shape(_resize(image, *size), (*size, channels))


def decode(image: tf.Tensor, channels: int) -> tf.Tensor:
    """The bytes of a file -> uint8 (height, width, channels); arrays pass, but for their channels (1, 3, or 4 with
    transparency, which is laid over white).
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


def _random_crop(image: tf.Tensor, seed: tf.Tensor, channels: int, min_area: float) -> tf.Tensor:
    """A plain JPEG is decoded only where the crop lies."""

    def cropped(whole: tf.Tensor) -> tf.Tensor:
        part = tf.slice(whole, *_sample_crop(tf.shape(whole), seed, min_area))
        return tf.ensure_shape(part, (None, None, whole.shape[-1]))

    if image.dtype != tf.string:
        return decode(cropped(image), channels)
    plain = image_file.plain(image)

    def jpeg() -> tf.Tensor:
        begin, extent = _sample_crop(tf.io.extract_jpeg_shape(image), seed, min_area)
        window = tf.stack([begin[0], begin[1], extent[0], extent[1]])
        return tf.image.decode_and_crop_jpeg(image, window, channels=channels)

    return tf.cond(tf.io.is_jpeg(image) & plain, jpeg, lambda: cropped(image_file.pixels(image, channels, plain)))


def _sample_crop(shape: tf.Tensor, seed: tf.Tensor, min_area: float) -> tuple[tf.Tensor, tf.Tensor]:
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        area_range=(min_area, 1.0),
        min_object_covered=0.0,
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    return begin, extent


def _resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Bilinear with anti-aliasing, uint8 to uint8; the identity where the size is right already."""
    if image.shape[:2] == (height, width):
        return image
    return tf.cast(tf.round(tf.image.resize(image, (height, width), antialias=True)), tf.uint8)
