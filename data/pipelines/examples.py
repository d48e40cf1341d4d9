"""Kinds whose examples have one size once they are changed, read one by one from data/sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int64
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from data import sources
from data.items import image_files
from data.order import Rows
from data.pipelines.base import Base, Known, Spec, Split, Unread, check_batch, of_rows
from data.sources import Source
from data.subset import Subset
from errors import UserError, nearest

FEW = 30  # classes that an error line names


@dataclass(kw_only=True)
class Examples(Base[Source, Split]):
    """Batch k holds the positions k*B ... k*B + B - 1 of an endless sequence; position p shows example shuffle(p mod N)
    of epoch p div N.

    Attributes:
      source: "tfds", "folder", "arrays" or "synthetic": a module of data/sources.
      train_examples: how many of the training split, drawn by the seed; 0 for all. See data/subset.py.
      batch_size: examples of a global training batch.
      eval_batch_size: of a global evaluation batch; 0 for the same as training.
      unreadable: what an example that cannot be read does: "stop" the run, or be "skip"ped with weight 0 and counted.
      memory_limit_mb: the largest split, in MiB, that is held in memory.
      shuffle_buffer: records, of a set that can only be streamed.
    """

    source: str = "tfds"
    train_examples: NonNegativeInt = 0
    batch_size: PositiveInt
    eval_batch_size: NonNegativeInt = 0
    unreadable: Literal["stop", "skip"] = "stop"
    memory_limit_mb: NonNegativeInt = 1024
    shuffle_buffer: PositiveInt = 50_000

    def __post_init__(self) -> None:
        check_batch(self.batch_size, self.feed)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Features that are asked of the source."""
        raise NotImplementedError

    @property
    def repeats(self) -> int:
        """Views of each example in a training batch."""
        return 1

    def open(self, split: str) -> Source:
        """The source of a split."""
        return sources.open(self.source, self.name, split, self.data_dir, self.memory_limit_mb, self.wanted)

    def prepare(self, split: str, train: bool) -> Split:
        """Training batches of `batch_size`; of evaluation, no larger than the split needs."""
        if train:
            source = self.train_source
            return Split(source, Rows(source.size, self.batch_size, self.repeats), source.notes)
        source = self.opened(split)
        rows = min(self.eval_batch_size or self.batch_size, source.size)
        return Split(source, Rows(source.size, -(-rows // self.feed.divisor) * self.feed.divisor), source.notes)

    @cached_property
    def train_source(self) -> Source:
        """The training split, or the part of it that is asked for."""
        whole = self.opened(self.train_split)
        return Subset(whole, self.train_examples, self.feed.seed) if self.train_examples else whole

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Files or arrays of the split."""
        return sources.contents(self.opened(self.train_split))

    @property
    def steps_per_epoch(self) -> float:
        """Batches of an epoch, which may end within one."""
        return self.train_source.size / self.batch_size

    @property
    def fills_a_batch(self) -> bool:
        """Whether there are as many examples as a batch has."""
        return self.train_source.size >= self.batch_size

    @property
    def shapes(self) -> list[tuple[float, Spec]]:
        """All batches have one shape."""
        return [(1.0, of_rows(self.spec, self.batch_size))]

    @property
    def buffer(self) -> int:
        """See Base."""
        return self.shuffle_buffer


@dataclass(kw_only=True)
class Labelled(Examples):
    """Examples of classes that have names, which a trained run keeps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._trained = tuple((self.feed.known or {}).get("classes", ()))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: of a trained run its own, whose data set need not be here."""
        return self._trained or self.named(self.train_source)

    def named(self, source: Source) -> tuple[str, ...]:
        """The names of a source's classes."""
        return sources.classes(source)

    @property
    def known(self) -> Known:
        """The names of the classes."""
        return {"classes": list(self.classes)}

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the number of classes."""
        return {"outputs": len(self.classes)}

    def places(self, source: Source) -> Int64[np.ndarray, " C"]:
        """The run's label of each of a source's classes, found by name, -1 for none."""
        place = {name: label for label, name in enumerate(self.classes)}
        return np.array([place.get(name, -1) for name in self.named(source)], np.int64)

    def check_classes(self, split: str, names: Sequence[str]) -> None:
        """That the run has all classes of a split.

        Raises:
          UserError: it has not.
        """
        if odd := next((name for name in names if name not in self.classes), None):
            run, hint = "the model" if self._trained else "the training split", nearest(odd, self.classes)
            hint = hint if len(self.classes) < FEW else hint.partition("There is:")[0]
            raise UserError(f"split {split!r} has a class {odd!r} that {run} does not have: {hint}")

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base."""
        if classes is None:
            raise UserError(
                f"{self.name} is not here and its number of classes is not known: name it by "
                "--config.data.source=synthetic --config.data.name=CLASSES --config.steps=N."
            )
        epoch = examples / self.batch_size if examples else None
        return Unread({"outputs": classes}, self.spec, self.shapes, epoch)


@dataclass(kw_only=True)
class Pictures(Labelled):
    """Images or clips, whose pixels are normalised: (x - mean) / std.

    Attributes:
      mean, std: of each channel, of values in [0, 1]. Their number is that of the channels, to which images are
        converted.
    """

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[PositiveFloat, ...] = (0.5, 0.5, 0.5)

    item: ClassVar[str] = "an image file"
    rank: ClassVar[int] = 3
    channels: ClassVar[tuple[int, ...]] = (1, 3)  # how many there can be

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mean) != len(self.std) or len(self.mean) not in self.channels:
            some = " or ".join(map(str, self.channels))
            raise UserError(
                f"config.data.mean={self.mean} and std={self.std} need one number a channel, for {some} channels."
            )

    def picture(self, image: Float[np.ndarray, "*size channels"]) -> Float[np.ndarray, "*size channels"]:
        """A normalised image or clip as it looks, in [0, 1]."""
        return np.clip(image * np.array(self.std) + np.array(self.mean), 0, 1)

    def items(self, argument: str) -> list[str]:
        """The files of a folder or a glob."""
        return image_files(argument)
