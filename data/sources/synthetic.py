"""Random images that cost nothing to read: for measuring steps, and for machines without TensorFlow."""

from collections.abc import Iterator

import numpy as np

from errors import UserError


class Source:
    """`name` is the number of classes. The same few batches come again and again."""

    size = 1 << 20
    random_access = True
    shape = None

    def __init__(self, name: str, split: str, data_dir: str = "", memory_limit_mb: int = 0):
        if not name.isdigit() or int(name) < 1:
            raise UserError(
                f"config.data.name={name!r}: a synthetic set is named by its number of classes, such as 1000."
            )
        self.classes = tuple(str(i) for i in range(int(name)))

    def batches(self, start: int, shape: tuple[int, int, int, int], seed: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches from step `start` on, normal images float32 of `shape` (b, height, width, channels)."""
        rng = np.random.default_rng(seed)
        images = [rng.standard_normal(shape, np.float32) for _ in range(4)]
        labels = [rng.integers(len(self.classes), size=shape[0], dtype=np.int32) for _ in range(4)]
        while True:
            yield {"image": images[start % 4], "label": labels[start % 4], "mask": np.ones(shape[0], np.float32)}
            start += 1
