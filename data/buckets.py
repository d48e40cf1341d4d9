"""Batches of sequences of like length, so that little of a batch is padding.

Each bucket has one padded length and one number of rows, so that a step is compiled once a bucket. An epoch takes every
example once: the batches of all buckets come in random order, the examples of a bucket are dealt to its batches at
random, and the last batch of a bucket is filled up with rows of nothing. Any step can be asked for by its number alone.

n examples, L lengths, b this host's rows of a batch.
"""

from typing import Any

import numpy as np

from data.order import shuffled, tensorflow


def boundaries(lengths: np.ndarray, buckets: int) -> tuple[int, ...]:
    """The padded lengths, at most `buckets` of them and in order, that leave the least padding over `lengths`, int
    (n,).

    Exact, by dynamic programming over the lengths that occur.
    """
    length, count = np.unique(lengths, return_counts=True)
    until = np.concatenate([[0], np.cumsum(count)])
    total, choices = np.append(0.0, np.full(len(length), np.inf)), []
    for _ in range(min(buckets, len(length))):
        # cost[i, j]: lengths i ... j in a bucket of length[j], after the best way to place those before i.
        cost = total[:-1, None] + (until[None, 1:] - until[:-1, None]) * length[None]
        cost[np.tril_indices(len(length), -1)] = np.inf
        choices.append(cost.argmin(0))
        total = np.append(np.inf, cost.min(0))
    found, end = [], len(length)
    for begin in reversed(choices):
        found.append(int(length[end - 1]))
        end = int(begin[end - 1])
    return tuple(reversed(found))


class Buckets:
    """The batches of one split.

    Args:
      lengths: int (n,). bounds: padded lengths in order, the last one no less than any length.
      rows: of a global batch, for each bucket.
    """

    def __init__(self, lengths: np.ndarray, bounds: tuple[int, ...], rows: tuple[int, ...]):
        bucket = np.searchsorted(bounds, lengths)
        self.bounds, self.rows = np.asarray(bounds), np.asarray(rows)
        self.counts = np.bincount(bucket, minlength=len(bounds))
        self.batches = -(-self.counts // self.rows)
        self.steps, self.most = int(self.batches.sum()), int(self.rows.max())
        self.room = int((self.batches * self.rows * self.bounds).sum())  # tokens of an epoch, padding counted
        self._members = np.argsort(bucket, kind="stable")
        self._tables: tuple[Any, ...] | None = None

    def batch(self, step: Any, seed: int | None, host: int, hosts: int) -> tuple[Any, Any, Any]:
        """See data.order.Plan. Without a seed the examples come in the order in which they stand, short ones first."""
        tf = tensorflow()
        if self._tables is None:
            with tf.init_scope():
                starts = np.cumsum(np.append(0, self.counts))[:-1]
                first = np.cumsum(np.append(0, self.batches))[:-1]
                tables = (self.bounds, self.rows, self.counts, starts, first, self._members)
                self._tables = tuple(tf.constant(table, tf.int64) for table in tables)
        bounds, rows, counts, starts, first, members = self._tables
        epoch, slot = step // self.steps, step % self.steps
        if seed is not None:
            slot = shuffled(slot[None], self.steps, 0, seed, epoch)[0]
        bucket = tf.searchsorted(first, slot[None], side="right")[0] - 1
        # An empty bucket begins where the next one does: "right" has passed it.
        mine = rows[bucket] // hosts
        place = (slot - first[bucket]) * rows[bucket] + host * mine + tf.range(mine)
        real = place < counts[bucket]
        place = tf.minimum(place, counts[bucket] - 1)
        if seed is not None:
            place = shuffled(place, counts[bucket], bucket + 1, seed, epoch)
        return bounds[bucket], tf.gather(members, starts[bucket] + place), real
