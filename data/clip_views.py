"""Which frames of a video a clip has, and which part of each frame: one view to train on, or several to evaluate."""

import tensorflow as tf

from data import augment, images

MIDDLE = 0.5


def moments(there: tf.Tensor, frames: int, stride: int, clips: int, sampling: str) -> tf.Tensor:
    """The frames of each clip of an evaluation: int32 (clips, frames).

    Args:
      there: int32 scalar, frames of the video. Of one that is shorter than a clip, the last is repeated.
      stride: frames of the video from one of the clip to the next.
      clips: they begin evenly from the first place to the last; a single one is in the middle.
      sampling: "stride"; or "even", where a clip has one frame of each of `frames` equal parts of the video.
    """
    if sampling == "even":
        within = (tf.range(clips, dtype=tf.float32)[:, None] + 0.5) / clips
        return _of_parts(there, frames, within)
    spare = tf.maximum(there - (frames - 1) * stride - 1, 0)
    share = tf.linspace(0.0, 1.0, clips) if clips > 1 else tf.constant([MIDDLE])
    first = tf.cast(tf.cast(spare, tf.float32) * share + 1e-4, tf.int32)
    return tf.minimum(first[:, None] + stride * tf.range(frames), there - 1)


def random_moments(there: tf.Tensor, frames: int, stride: int, sampling: str, seed: tf.Tensor) -> tf.Tensor:
    """The frames of a training clip: int32 (1, frames). seed: int64 (2,)."""
    if sampling == "even":
        return _of_parts(there, frames, tf.random.stateless_uniform((1, frames), seed))
    spare = tf.maximum(there - (frames - 1) * stride - 1, 0)
    first = tf.random.stateless_uniform((1, 1), seed, 0, spare + 1, tf.int32)
    return tf.minimum(first + stride * tf.range(frames), there - 1)


def shuffled(taken: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Every clip's frames (clips, frames) in the same random order. seed: int64 (2,)."""
    order = tf.argsort(tf.random.stateless_uniform(taken.shape[1:], seed))
    return tf.gather(taken, order, axis=1)


def _of_parts(there: tf.Tensor, frames: int, within: tf.Tensor) -> tf.Tensor:
    """The frame of each equal part of a video. within: (n, 1 or frames) in [0, 1), where in the part."""
    place = (tf.range(frames, dtype=tf.float32) + within) * (tf.cast(there, tf.float32) / frames)
    return tf.minimum(tf.cast(place, tf.int32), there - 1)


def coloured(clip: tf.Tensor, channels: int) -> tf.Tensor:
    """A clip with 1 or 3 channels."""
    return images.decode(clip, channels) if clip.shape[-1] not in (None, channels) else clip


def squares(clip: tf.Tensor, size: int, crops: int) -> tf.Tensor:
    """The frames' squares along their longer side, from one end to the other; the middle one, if one.

    Args:
      clip: uint8 (frames, height, width, channels).
      size: pixels of a square's side in the result.

    Returns:
      uint8 (crops, frames, size, size, channels).
    """
    if crops == 1 and clip.shape[1:3] == (size, size):
        return clip[None]
    rows, columns = tf.unstack(tf.shape(clip)[1:3])
    side = tf.minimum(rows, columns)
    found = []
    for crop in range(crops):
        part = (crop, crops - 1) if crops > 1 else (1, 2)
        top, left = ((whole - side) * part[0] // part[1] for whole in (rows, columns))
        found.append(_resized(clip[:, top : top + side, left : left + side], size))
    return tf.stack(found)


def random_part(clip: tf.Tensor, size: int, min_area: float, seed: tf.Tensor) -> tf.Tensor:
    """The same random rectangle of every frame, as of an image (1409.4842): uint8 (1, frames, size, size, channels).

    Args:
      min_area: the least share of a frame. seed: int64 (2,).
    """
    top, left, height, width = tf.unstack(images.random_window(tf.shape(clip)[1:], seed, min_area))
    return _resized(clip[:, top : top + height, left : left + width], size)[None]


def warped(clip: tf.Tensor, transform: tf.Tensor) -> tf.Tensor:
    """Every frame after one transform (8,): see augment.warp. clip: uint8 (frames, height, width, channels)."""
    return augment.warp(clip, tf.repeat(transform[None], tf.shape(clip)[0], axis=0))


def _resized(clip: tf.Tensor, size: int) -> tf.Tensor:
    """Frames (n, height, width, channels) of another size: uint8."""
    resized = tf.image.resize(clip, (size, size), antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)
