"""A part of a data set, for studies of how much data a model needs."""

from data.order import Tensor, shuffled, tensorflow
from data.sources import Example, Indexed, Source, synthetic
from errors import UserError

ORDER = 0x5B5E7  # apart from the orders of the epochs, which are drawn from the same seed


class Subset(Indexed):
    """`size` examples of a source in a random order drawn from `seed`: of one seed, a smaller subset lies in a larger.

    Raises:
      UserError: the source has fewer, or can only be read in order.
    """

    def __init__(self, source: Source, size: int, seed: int):
        if not 0 < size <= source.size:
            raise UserError(
                f"config.data.train_examples={size} must be 0, for all, or at most the {source.size:,} there are."
            )
        if not source.random_access or isinstance(source, synthetic.Source):  # which has no examples to choose from
            raise UserError(
                "config.data.train_examples needs a set that is read by index: prepare it with "
                'file_format=array_record, or take the first part of it, --config.data.train_split="train[:10%]".'
            )
        self._source, self._seed = source, seed
        self.size = size
        self.features, self.notes = source.features, source.notes

    def _chosen(self, index: Tensor) -> Tensor:
        return shuffled(index, self._source.size, ORDER, self._seed, 0)

    def read(self, index: Tensor) -> Example:
        """The raw examples of indices (b,)."""
        return self._source.read(self._chosen(index))

    def parse(self, raw: Example) -> Example:
        """As the source does."""
        return self._source.parse(raw)

    def describe(self, index: int) -> str:
        """An example by its name in the source."""
        tf = tensorflow()
        return self._source.describe(int(self._chosen(tf.constant([index], tf.int64))[0]))
