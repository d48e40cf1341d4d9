"""Labelled images for models that draw: a user gives the name of a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from data.pipelines import images
from data.pipelines.base import Batch
from errors import UserError, nearest

debug = images.debug


@dataclass(kw_only=True)
class Pipeline(images.Pipeline):
    """Batches as those of data/pipelines/images.py."""

    item: ClassVar[str] = "the name of a class"
    lost: ClassVar[str] = "class to be drawn of"
    rank: ClassVar[int] = 0
    channels: ClassVar[tuple[int, ...]] = (1, 3, 4)  # 4 of latents, which published DiTs draw

    def items(self, argument: str) -> list[str]:
        """The name itself."""
        return [argument]

    def example(self) -> str:
        """A class."""
        return self.classes[0]

    def truth(self, item: str) -> str:
        """Nothing is known of it."""
        return ""

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Names of classes: {"image": zeros of the shape that is drawn, "label": int32 (n,)}.

        Raises:
          UserError: a class that the run does not know.
        """
        for name in items:
            if name not in self.classes:
                raise UserError(f"there is no class {name!r}: {nearest(name, self.classes)}")
        label = np.array([self.classes.index(name) for name in items], np.int32)
        return {"image": np.zeros((len(items), *self.image_shape), np.float32), "label": label}, []
