"""Span corruption (1910.10683, section 3.1.4): runs of a text's tokens are hidden, one sentinel for each.

b this host's rows of a batch, W tokens of a text, S of an input, T of a target.
"""

from typing import NamedTuple

import numpy as np

from data.order import Tensor, tensorflow, uniform
from models.tokens import EOS, PAD


class Lengths(NamedTuple):
    """What hiding makes of a text.

    Attributes:
      source: S: the tokens that are left, a sentinel for each hidden span, and EOS.
      target: T: the hidden tokens, a sentinel before each span, and EOS.
      spans: how many there are.
    """

    source: int
    target: int
    spans: int


def lengths(tokens: int, share: float, mean: float) -> Lengths:
    """Of a text of W tokens. share: of the tokens that are hidden. mean: length of a span."""
    hidden = min(max(round(tokens * share), 1), tokens - 1)
    spans = min(max(round(hidden / mean), 1), hidden, tokens - hidden)
    return Lengths(tokens - hidden + spans + 1, hidden + spans + 1, spans)


def hide(
    tokens: Tensor, count: Tensor, key: tuple[Tensor | int, Tensor], share: float, mean: float, sentinels: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Hides spans of each row. How a row's tokens are divided into hidden ones and others is fixed by `lengths`; the
    lengths of the spans, and of what is left between them, are drawn: every division is equally likely.

    A row begins with a token that is left and ends with a hidden span.

    Args:
      tokens: int32 (b, W).
      count: of each row's tokens, int32 (b,); a row of none stays empty, and of one nothing is hidden.
      key: a number, and one for each row, int64 (b,): what is drawn depends on these alone.
      share, mean: see `lengths`.
      sentinels: ids, that of the first span first, int32.

    Returns:
      source int32 (b, S) and target int32 (b, T), of the lengths of a full row, PAD after their ends.
    """
    tf = tensorflow()
    width = tokens.shape[1]
    whole = lengths(width, share, mean)
    item, count = tf.range(width)[None], count[:, None]

    def rounded(x: Tensor) -> Tensor:
        return tf.cast(tf.round(x), tf.int32)

    hidden = tf.clip_by_value(rounded(tf.cast(count, tf.float64) * share), tf.minimum(1, count - 1), count - 1)
    left = count - hidden
    spans = tf.clip_by_value(rounded(tf.cast(hidden, tf.float64) / mean), 1, tf.maximum(tf.minimum(hidden, left), 1))

    # Items 0 ... left - 1 stand for what is left, the others for what is hidden. Each kind is cut into spans: the first
    # of its items begins one, and so do spans - 1 others, those whose numbers are lowest.
    of_hidden = item >= left
    free = (item > 0) & (item != left) & (item < count)
    number = tf.where(free, uniform(key[0], key[1][:, None], tf.cast(item, tf.int64)), 2.0)
    order = tf.argsort(tf.where(of_hidden & free, number + 1, tf.where(free, number, 3.0)), axis=1, stable=True)
    rank = tf.argsort(order, axis=1, stable=True) - tf.where(of_hidden, tf.maximum(left - 1, 0), 0)
    begins = ~free | (rank < spans - 1)
    span = tf.cumsum(tf.cast(begins & (item < count), tf.int32), axis=1) - 1  # of the hidden ones from `spans` on
    # In the text, spans of both kinds take turns.
    turn = tf.where(of_hidden, 2 * (span - spans) + 1, 2 * span)
    turn = tf.sort(tf.where(item < count, turn, 2 * width), axis=1)

    real = item < count
    is_hidden = real & (turn % 2 == 1)
    first = is_hidden & (turn != tf.pad(turn[:, :-1], [[0, 0], [1, 0]], constant_values=-1))
    sentinel = tf.gather(tf.constant(sentinels), tf.minimum(turn // 2, len(sentinels) - 1))

    def packed(values: Tensor, kept: Tensor, length: int) -> Tensor:
        """The kept values of each row and EOS, in as many places."""
        ends = tf.fill([tf.shape(values)[0], 1], EOS)
        rows = tf.concat([tf.ragged.boolean_mask(values, kept), ends], axis=1)
        return tf.where(count > 0, rows.to_tensor(PAD, shape=(None, length)), PAD)

    source = packed(tf.where(is_hidden, sentinel, tokens), real & (~is_hidden | first), whole.source)
    pairs = tf.stack([sentinel, tokens], axis=2), tf.stack([first, is_hidden], axis=2)
    values, kept = (tf.reshape(x, [-1, 2 * width]) for x in pairs)
    return source, packed(values, kept, whole.target)
