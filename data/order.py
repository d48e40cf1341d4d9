"""Which examples a batch holds: the order is drawn anew each epoch, and any place of it can be computed by itself."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., object])
# TensorFlow has no types, and is imported only when a source needs it.
Tensor: TypeAlias = Any
Dataset: TypeAlias = Any  # of tf.data
Options: TypeAlias = Any  # of tf.data


@functools.cache
def tensorflow() -> ModuleType:
    """TensorFlow, imported when a pipeline first needs it, without Keras (a second less), without the accelerators and
    without its banners. It reads its settings as it is imported, and the environment is afterwards as it was before.
    """
    before = dict(os.environ)
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # which jax sets where nobody else does
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    for name, value in (("TF_ENABLE_ONEDNN_OPTS", "0"), ("TF_USE_LEGACY_KERAS", "1")):
        os.environ.setdefault(name, value)
    import tensorflow as tf

    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    tf.config.set_visible_devices([], "GPU")
    return tf


def graph(function: F) -> F:
    """A function of tensors as it stands, not rewritten by AutoGraph."""
    return tensorflow().autograph.experimental.do_not_convert(function)


def python(function: Callable[..., object], arguments: list[Tensor], dtype: object) -> Tensor:
    """What a Python function makes of a file or a path, a scalar string, and of further tensors, within tf.data."""

    def of_bytes(first: bytes | np.ndarray, *others: object) -> object:  # an array outside of tf.data
        return function(first if isinstance(first, bytes) else first.item(), *others)

    return tensorflow().numpy_function(of_bytes, arguments, dtype, stateful=False)


def options() -> Options:
    """tf.data's options of every pipeline: in order, and not on all cores."""
    options = tensorflow().data.Options()
    options.deterministic = True
    options.threading.max_intra_op_parallelism = 1
    return options


def shuffled(place: Tensor, size: Tensor | int, *seed: Tensor | int) -> Tensor:
    """What stands at each place of a random order of 0 ... size - 1.

    Args:
      place: int64 tensor (n,), each less than `size`. size: int64 scalar, an int or a tensor. seed: three integers,
        each a scalar or a tensor (n,).
    """
    tf = tensorflow()
    place, size = tf.cast(place, tf.int64), tf.cast(size, tf.int64)
    parts = [tf.broadcast_to(tf.cast(part, tf.int64), tf.shape(place)) for part in seed]
    # tf.random.experimental.index_shuffle fails on one seed a row; the operation beneath it does not. Of small sets it
    # reads only the low bits of each word, so that these must depend on all of the seed.
    words = [_mixed([tf.fill(tf.shape(place), tf.constant(word, tf.int64)), *parts]) for word in range(3)]
    index = tf.raw_ops.RandomIndexShuffle(
        index=place, seed=tf.stack(words, axis=1), max_index=tf.maximum(size - 1, 1), rounds=4
    )
    return tf.where(size > 1, index, tf.zeros_like(place))


def uniform(*words: Tensor | int) -> Tensor:
    """Numbers in [0, 1), float32. Each depends on all of its integers and on nothing else.

    Args:
      words: int64, broadcastable to one another.
    """
    tf = tensorflow()
    parts = [tf.cast(word, tf.int64) for word in words]
    shape = functools.reduce(tf.broadcast_dynamic_shape, map(tf.shape, parts))
    bits = _mixed([tf.broadcast_to(part, shape) for part in parts])
    return tf.cast(tf.bitwise.right_shift(bits, 31 - 24), tf.float32) / 2**24


def _mixed(words: list[Tensor]) -> Tensor:
    """int64 tensors of one shape -> one of 31 bits; each depends on every bit given (the finaliser of splitmix64)."""
    tf = tensorflow()
    state = tf.zeros_like(words[0])
    for word in words:
        state += word - 0x61C8864680B583EB
        for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15), (31, 1)):
            logical = tf.bitwise.right_shift(state, shift) & ((1 << (64 - shift)) - 1)
            state = tf.bitwise.bitwise_xor(state, logical) * factor
    return tf.bitwise.bitwise_and(state, 0x7FFFFFFF)


class Plan(Protocol):
    """The batches of one split.

    Attributes:
      steps: batches of an epoch.
      most: rows of the largest global batch.
    """

    @property
    def steps(self) -> int:
        """Batches of an epoch, the last one filled up."""

    @property
    def most(self) -> int:
        """Rows of the largest global batch."""

    def batch(self, step: Tensor, seed: int | None, host: int, hosts: int) -> tuple[Tensor, Tensor, Tensor]:
        """One batch as TensorFlow tensors.

        Args:
          step: int64 scalar.
          seed: of the order; None for the order of evaluation, without shuffling.
          host, hosts: whose rows.

        Returns:
          The padded length (scalar; 0 where examples have one size), which examples (b,) int64, and which rows are real
          (b,) bool.
        """


@dataclass(frozen=True)
class Rows:
    """Batches of one size. The last batch of evaluation is filled up; in training the next epoch begins within a
    batch.

    Attributes:
      size: examples of the split.
      most: rows of a global batch.
      repeats: views of each example in a training batch. They stand apart, so that mixup does not mix them.
    """

    size: int
    most: int
    repeats: int = 1

    @property
    def steps(self) -> int:
        """Batches of an epoch, the last one filled up."""
        return -(-self.size // self.most)

    def batch(self, step: Tensor, seed: int | None, host: int, hosts: int) -> tuple[Tensor, Tensor, Tensor]:
        """See Plan."""
        tf = tensorflow()
        rows = self.most // hosts
        position = tf.cast(step, tf.int64) * self.most + host * rows + tf.range(rows, dtype=tf.int64)
        none = tf.constant(0, tf.int64)
        if seed is None:
            return none, tf.minimum(position, self.size - 1), position < self.size
        different = -(-self.most // self.repeats)
        place = position // self.most * different + position % self.most % different
        index = shuffled(place % self.size, self.size, 0, seed, place // self.size)
        return none, index, tf.ones(rows, tf.bool)
