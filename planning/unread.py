"""A pipeline whose data set is not here: batches have the shapes that config.data gives."""

from collections.abc import Callable
from typing import cast

import input_pipeline
from data import slices
from data.pipelines.base import Base, Feed, Section, Split
from input_pipeline import Pipeline

# Training examples of the sets that configs/ names, from their own pages; TFDS knows them once they are prepared.
EXAMPLES = {
    "imagenet2012": 1_281_167,
    "imagenet21k": 14_197_122,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
    "glue/sst2": 67_349,
    "coco/2017": 118_287,
    "coco_captions": 82_783,
    "bccd": 205,
    "ADEChallengeData2016": 20_210,
    "camvid": 367,
    "kinetics400": 246_245,
}
# The classes of those whose number TFDS does not tell: of boxes, pixels and clips.
CLASSES = {"coco/2017": 80, "bccd": 3, "ADEChallengeData2016": 150, "camvid": 11, "kinetics400": 400}


def pipeline(classes: int | None) -> Callable[[Section, Feed], Pipeline]:
    """A stand-in for input_pipeline.build. classes: of the data set; None if it has none."""

    def build(section: Section, feed: Feed) -> Pipeline:
        # The real one checks every key; nothing is read before it is asked for a batch.
        real = cast(Base[object, Split], input_pipeline.build(section, feed))
        chosen = section.get("train_examples", 0)  # of the kinds that can take a part
        examples = chosen or _examples(real.name, real.train_split)
        return cast(Pipeline, real.unread(classes or CLASSES.get(real.name), examples))  # without batches

    return build


def _examples(name: str, split: str) -> int | None:
    """Of "train" or a part of it, "train[1000:]"; None where nobody knows."""
    known = name in EXAMPLES and slices.stem(split) == "train" and "+" not in split
    return len(slices.made(split, {"train": EXAMPLES[name]}, name)) if known else None
