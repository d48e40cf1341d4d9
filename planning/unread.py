"""A pipeline whose data set is not here: batches' shapes as config.data alone gives them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import input_pipeline
from data.buckets import Buckets
from data.pipelines import ragged
from errors import UserError

# Training examples of the sets that configs/ names, from their own pages; TFDS knows them once they are prepared.
EXAMPLES = {
    "imagenet2012": 1_281_167,
    "imagenet21k": 14_197_122,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
    "glue/sst2": 67_349,
}


@dataclass(frozen=True)
class Unread:
    """What experiment.build asks of a pipeline. epoch: steps of one; None where nobody knows the number of examples."""

    sizes: dict[str, int | None]
    example: input_pipeline.Shapes
    shapes: list[tuple[float, input_pipeline.Shapes]]
    epoch: float | None

    @property
    def steps_per_epoch(self) -> float:
        if self.epoch is None:
            raise UserError("the data set is not here, so that an epoch's steps are not known: set --config.steps=N.")
        return self.epoch


def pipeline(classes: int | None) -> Callable[..., Unread]:
    """A stand-in for input_pipeline.build. classes: of the data set; None if it has none."""

    def build(kind: str, *, name: str, train_split: str, **arguments: Any) -> Unread:
        # The real one checks every key; nothing is read before it is asked for a batch.
        real = input_pipeline.build(kind, name=name, train_split=train_split, **arguments)
        examples = _examples(name, train_split)
        if kind == "pairs":
            # Sentences of the greatest length: no batch takes more memory.
            plan = real.plan(np.array([real.max_length]), (real.max_length,), real.batch_tokens)
            size = arguments["vocabulary_size"]
            sizes: dict[str, int | None] = {"outputs": size, "source_vocabulary": None if real.joint else size}
            return Unread(sizes, real.example, ragged.shapes(plan, real.example), None)
        if classes is None:
            raise UserError(
                f"{name} is not here and its number of classes is not known: name it by --config.data.source=synthetic "
                "--config.data.name=CLASSES --config.steps=N."
            )
        epoch = examples / real.batch_size if examples else None
        if kind == "images":
            return Unread({"outputs": classes}, real.example, real.shapes, epoch)
        plan = Buckets(np.array([real.max_length]), (real.max_length,), (real.batch_size,))
        sizes = {"outputs": classes, "vocabulary": arguments["vocabulary_size"]}
        return Unread(sizes, real.example, ragged.shapes(plan, real.example), epoch)

    return build


def _examples(name: str, split: str) -> int | None:
    """Of "train", or of "train[1000:]"."""
    part = re.fullmatch(r"train(?:\[(\d+):\])?", split)
    return EXAMPLES[name] - int(part[1] or 0) if part and name in EXAMPLES else None
