"""Hidden tokens for a masked language model (1810.04805, section 3.1 and appendix A.1).

b this host's rows of a batch, T their length, M the most hidden tokens of a row, V vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.order import Tensor, tensorflow, uniform

NOTHING = -1  # the target where there is none
REPLACED, DRAWN = 0.8, 0.1  # shares of hidden tokens that become [MASK]; that become a token drawn at random
CONTINUES = "##"  # what WordPiece begins the pieces with that begin no word
BEGINS = ("▁", "Ġ", "Ċ", "\n")  # what the others begin the pieces with that do


class Vocabulary(NamedTuple):
    """What must be known of the tokens.

    Attributes:
      mask: the id of [MASK].
      special: ids that are never hidden.
      ordinary: the other ids, int32 (n,); random ones are drawn from them.
      begins: whether a piece begins a word, bool (V,).
    """

    mask: int
    special: tuple[int, ...]
    ordinary: np.ndarray
    begins: np.ndarray


def vocabulary(pieces: Sequence[str], special: Sequence[int], mask: int) -> Vocabulary:
    """What is known of a vocabulary by its pieces."""
    special = (*special, mask)
    if any(piece.startswith(CONTINUES) for piece in pieces):
        begins = [not piece.startswith(CONTINUES) for piece in pieces]
    else:
        begins = [piece.startswith(BEGINS) for piece in pieces]
    return Vocabulary(mask, special, np.setdiff1d(np.arange(len(pieces)), special).astype(np.int32), np.array(begins))


def hide(
    tokens: Tensor, key: tuple[Tensor | int, Tensor], share: float, most: int, words: bool, known: Vocabulary
) -> dict[str, Tensor]:
    """Hides a share of each row's ordinary tokens, at least one: 80 % become [MASK], 10 % a random one, and 10 % stay.

    Args:
      tokens: int32 (b, T), with special ids where nothing may be hidden.
      key: a number, and one for each row, int64 (b,): what is hidden depends on these alone.
      share: of the ordinary tokens.
      most: M.
      words: whether the tokens of a word are hidden together. A word that would exceed the share ends the choice, even
        where it is the first.

    Returns:
      tokens int32 (b, T), as the model sees them; place int32 (b, M), where the hidden ones are, in order and 0 after
      them; target int32 (b, M), what they were, NOTHING after them.
    """
    tf = tensorflow()
    length = tokens.shape[1]
    column = tf.range(length, dtype=tf.int64)[None]

    def drawn(number: int, where: Tensor) -> Tensor:
        return uniform(key[0], key[1][:, None], where, number)

    plain = ~tf.reduce_any(tokens[..., None] == tf.constant(known.special, tf.int32), axis=-1)
    if words:
        after = tf.pad(~plain[:, :-1], [[0, 0], [1, 0]], constant_values=True)
        word = tf.cumsum(tf.cast(tf.gather(tf.constant(known.begins), tokens) | after | ~plain, tf.int64), axis=1) - 1
    else:
        word = tf.broadcast_to(column, tf.shape(tokens, tf.int64))
    count = tf.reduce_sum(tf.cast(plain, tf.float32), axis=1)
    count = tf.clip_by_value(tf.cast(tf.round(share * count), tf.int32), 1, most)[:, None]
    order = tf.argsort(tf.where(plain, drawn(0, word), 2.0), axis=1, stable=True)
    rank = tf.argsort(order, axis=1, stable=True)
    rows = tf.range(tf.shape(tokens, tf.int64)[0])[:, None]
    place_of_word = rows * length + word
    last = tf.math.unsorted_segment_max(rank, place_of_word, tf.size(tokens, tf.int64))
    hidden = plain & (tf.gather(last, place_of_word) < count)

    fate = drawn(1, column)
    other = tf.cast(drawn(2, column) * len(known.ordinary), tf.int32)
    other = tf.gather(tf.constant(known.ordinary), tf.minimum(other, len(known.ordinary) - 1))
    changed = tf.where(fate < REPLACED, known.mask, tf.where(fate < REPLACED + DRAWN, other, tokens))
    place = tf.argsort(tf.cast(~hidden, tf.int32), axis=1, stable=True)[:, :most]
    there = tf.gather(hidden, place, batch_dims=1)
    return {
        "tokens": tf.where(hidden, changed, tokens),
        "place": tf.where(there, place, 0),
        "target": tf.where(there, tf.gather(tokens, place, batch_dims=1), NOTHING),
    }
