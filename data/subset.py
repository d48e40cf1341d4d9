"""A part of a data set, for studies of how much data a model needs."""

from typing import Any

from data.order import shuffled
from errors import UserError

ORDER = 0x5B5E7  # apart from the orders of the epochs, which are drawn from the same seed


class Subset:
    """`size` examples of a source in a random order drawn from `seed`: of one seed, a smaller subset lies in a larger.

    Raises:
      UserError: the source has fewer, or can only be read in order.
    """

    random_access = True

    def __init__(self, source: Any, size: int, seed: int):
        if not 0 < size <= source.size:
            raise UserError(
                f"config.data.train_examples={size} must be 0, for all, or at most the {source.size:,} there are."
            )
        if not getattr(source, "random_access", False):  # a synthetic set has no examples to choose from
            raise UserError(
                "config.data.train_examples needs a set that is read by index: prepare it with file_format=array_record, or "
                'take the first part of it, --config.data.train_split="train[:10%]".'
            )
        self._source, self._seed = source, seed
        self.size = size
        self.classes, self.shape, self.parse = source.classes, source.shape, source.parse

    def _chosen(self, index: Any) -> Any:
        return shuffled(index, self._source.size, ORDER, self._seed, 0)

    def read(self, index: Any) -> Any:
        """The raw examples of indices (b,)."""
        return self._source.read(self._chosen(index))

    def describe(self, index: int) -> str:
        import tensorflow as tf

        return self._source.describe(int(self._chosen(tf.constant([index], tf.int64))[0]))
