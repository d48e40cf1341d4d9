"""Windows of tokens of a long text: a source of them, and where those of training begin.

b this host's rows of a batch, T the length of a window.
"""

from dataclasses import dataclass

import numpy as np

from data.order import Tensor, tensorflow
from data.sources import Example, Feature, Features, Indexed


@dataclass(frozen=True)
class Starts:
    """Windows that begin at random places, as nanoGPT draws them.

    Attributes:
      size: places at which a window may begin.
      most: windows of a global batch.
      steps: batches of an epoch.
    """

    size: int
    most: int
    steps: int

    def batch(self, step: Tensor, seed: int | None, host: int, hosts: int) -> tuple[Tensor, Tensor, Tensor]:
        """See data.order.Plan."""
        tf = tensorflow()
        rows = self.most // hosts
        key = tf.stack([tf.cast(seed or 0, tf.int64), tf.cast(step, tf.int64)])
        start = tf.random.stateless_uniform([self.most], key, maxval=self.size, dtype=tf.int64)
        return tf.constant(0, tf.int64), start[host * rows : (host + 1) * rows], tf.ones(rows, tf.bool)


class Windows(Indexed):
    """A source of windows of a long text.

    Args:
      tokens: int (n,).
      starts: where each document begins, int64 (d,), in order.
      length: T.
      stride: window i begins at token i * stride.
      scored: how many targets at the end of each window but the first are its own; those before are another window's.
    """

    def __init__(self, tokens: np.ndarray, starts: np.ndarray, length: int, stride: int, scored: int):
        self.tokens, self.starts, self.length, self.stride, self.scored = tokens, starts, length, stride, scored
        self.size = 1 + -(-max(0, len(tokens) - 1 - length) // stride)
        self.features: Features = {
            name: Feature("array", (length,))
            for name in ("tokens", "target", "document", "is_token", "is_target", "ends")
        }
        self._tensors: tuple[Tensor, Tensor] | None = None

    def read(self, index: Tensor) -> Example:
        """The windows of indices (b,).

        Returns:
          tokens, target and document int32 (b, T): ids, the ids that follow, and the number of each token's document.
          is_token, is_target, ends bool (b, T): what is not beyond the end, which targets of it are the window's own,
            and whether a token is its document's last.
        """
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                self._tensors = tf.constant(self.tokens), tf.constant(self.starts, tf.int64)
        tokens, starts = self._tensors
        place = index[:, None] * self.stride + tf.range(self.length + 1, dtype=tf.int64)
        there = place < len(self.tokens)
        place = tf.minimum(place, len(self.tokens) - 1)
        ids = tf.cast(tf.gather(tokens, place), tf.int32)
        document = tf.searchsorted(starts, tf.reshape(place, [-1]), side="right")
        document = tf.reshape(document, tf.shape(place))
        own = (index[:, None] == 0) | (tf.range(self.length, dtype=tf.int64) >= self.length - self.scored)
        return {
            "tokens": ids[:, :-1],
            "target": ids[:, 1:],
            "document": document[:, :-1],
            "is_token": there[:, :-1],
            "is_target": there[:, 1:] & own,
            "ends": document[:, :-1] != document[:, 1:],
        }

    def describe(self, index: int) -> str:
        """A window by its place."""
        return f"the window at token {index * self.stride}"
