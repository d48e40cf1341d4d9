"""Random numbers that cost nothing to read: for measuring steps, and for machines without TensorFlow."""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from data.sources import Example, Feature, Features, Indexed, numbered
from errors import UserError


class Source(Indexed):
    """`name` is the number of classes. The same few batches come again and again."""

    size = 1 << 20

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        if not re.fullmatch("[1-9][0-9]{0,8}", name):
            raise UserError(
                f"config.data.name={name!r}: a synthetic set is named by its number of classes, such as 1000."
            )
        self._classes = int(name)
        names = numbered(self._classes - 1, "config.data.name")
        label = Feature("label", (), names)
        clip = Feature("clip", (None, None, None, 3))
        kinds: Features = {
            "label": label,
            "clip": clip,
            "video": clip,
            "objects": {"bbox": Feature("boxes", (None, 4)), "label": label},
        }
        self.features: Features = {name: kinds.get(name, Feature("array")) for name in wanted or ("image", "label")}

    def batches(
        self, start: int, rows: int, spec: Mapping[str, tuple[tuple[int, ...], str]], seed: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """Batches from step `start` on: normal float32 numbers, integers below the number of classes, masks of ones.

        Args:
          spec: the entries of one row.
        """
        rng = np.random.default_rng(seed)

        def drawn(name: str, shape: tuple[int, ...], dtype: str) -> list[np.ndarray]:
            shape = (rows, *shape[1:])
            if name == "mask":
                return [np.ones(shape, np.float32)] * 4
            if dtype == "float32":
                return [rng.standard_normal(shape, np.float32) for _ in range(4)]
            return [rng.integers(self._classes, size=shape, dtype=np.int32) for _ in range(4)]

        found = {name: drawn(name, *entry) for name, entry in spec.items()}
        while True:
            yield {name: arrays[start % 4] for name, arrays in found.items()}
            start += 1

    def read(self, index: object) -> Example:
        """Not by index."""
        raise NotImplementedError
