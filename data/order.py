"""Orders that are drawn anew each epoch and of which any place can be asked for without drawing the others."""

import os
from collections.abc import Callable
from typing import Any


def tensorflow() -> Any:
    """TensorFlow, imported when a pipeline first needs it, without Keras (a second less) and without the accelerators."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf


def graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors as it stands, not rewritten by AutoGraph."""
    return tensorflow().autograph.experimental.do_not_convert(function)


def options() -> Any:
    """tf.data's options of every pipeline: in order, and not on all cores."""
    options = tensorflow().data.Options()
    options.deterministic = True
    options.threading.max_intra_op_parallelism = 1
    return options


def shuffled(place: Any, size: Any, *seed: Any) -> Any:
    """What stands at each place of a random order of 0 ... size - 1.

    Args:
      place: int64 tensor (n,), each less than `size`. size: int64 scalar, an int or a tensor. seed: three integers,
        each a scalar or a tensor (n,).
    """
    tf = tensorflow()
    place, size = tf.cast(place, tf.int64), tf.cast(size, tf.int64)
    parts = [tf.broadcast_to(tf.cast(part, tf.int64), tf.shape(place)) for part in seed]
    # tf.random.experimental.index_shuffle fails on one seed a row; the operation beneath it does not.
    index = tf.raw_ops.RandomIndexShuffle(
        index=place, seed=tf.stack(parts, axis=1), max_index=tf.maximum(size - 1, 1), rounds=4
    )
    return tf.where(size > 1, index, tf.zeros_like(place))
