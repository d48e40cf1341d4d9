"""What all pipelines share: seed, step, hosts, order, filling up, conversion to NumPy and counting.

b is this host's share of a global batch B.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from annotated_types import MinLen

from data.order import Plan, Tensor
from data.pipelines import reading
from data.sources import Example, Labelled, Source, synthetic
from data.tokenizer import Reader
from errors import UserError, flag, shown
from lookup import Distinct, Json
from lookup import Section as Section

Batch: TypeAlias = dict[str, np.ndarray]
Spec: TypeAlias = dict[str, tuple[tuple[int, ...], str]]  # entry of a batch -> shape and dtype
Change: TypeAlias = Callable[[Example, Example], Example]
Known: TypeAlias = Json

Splits = Annotated[tuple[str, ...], MinLen(1), Distinct]
MADE_UP = 8  # evaluation batches of a synthetic split


@dataclass(frozen=True)
class Feed:
    """For whom a pipeline reads, and where a trained run's files are.

    Attributes:
      seed: of order and augmentation.
      host, hosts: whose slice of each batch this is.
      divisor: devices, by which every batch must divide.
      accumulate: micro-batches, by which a device's share of a training batch must divide.
      known: of a trained run, what its own pipeline gave as `known`; None for a new run.
      folder: where the pipeline's `files` are.
    """

    seed: int = 0
    host: int = 0
    hosts: int = 1
    divisor: int = 1
    accumulate: int = 1
    known: Known | None = None
    folder: Path = Path()


@dataclass(frozen=True)
class Split:
    """One split, ready to be read.

    Attributes:
      source: its examples.
      plan: which of them each batch holds.
      notes: lines for a person on what was done to them.
    """

    source: Source
    plan: Plan
    notes: tuple[str, ...] = ()


Opened = TypeVar("Opened")  # what a split is opened as
S = TypeVar("S", bound=Split)


@dataclass(frozen=True)
class Unread:
    """What a run whose data set is not here is planned from.

    Attributes:
      sizes, spec, shapes: as a pipeline has them.
      epoch: batches of an epoch; None where the number of examples is not known.
      assumed: lines for a person on what is assumed.
      readers: see Base.
    """

    sizes: dict[str, int | None]
    spec: Spec
    shapes: list[tuple[float, Spec]]
    epoch: float | None
    assumed: tuple[str, ...] = ()
    readers: tuple[Reader, ...] = ()

    def describe(self) -> list[str]:
        """What is assumed."""
        return list(self.assumed)

    @property
    def steps_per_epoch(self) -> float:
        """Batches of an epoch.

        Raises:
          UserError: the number of examples is not known.
        """
        if self.epoch is None:
            raise UserError("the data set is not here, so that an epoch's steps are not known: set --config.steps=N.")
        return self.epoch


@dataclass(kw_only=True)
class Base(Generic[Opened, S]):
    """The base of all kinds of pipelines: see input_pipeline.Pipeline for what they offer.

    A kind says how a split is read (`open`), which examples make a batch (`prepare`), what is done to each (`change`)
    and to a batch (`finish`). The random choices of a batch are drawn from (seed, step) for the whole global batch
    (`draw`), those of an example from (seed, `position`), a number that no other row of the training has.

    Attributes:
      source: where the data set comes from: a module of data/sources or data/text.
      name: the data set's name there, or a path.
      data_dir: folder that holds the data set; "" for the source's own default.
      train_split: split to train on, or a part of one: "train[:90%]".
      eval_splits: splits to evaluate on.
      changed: what a run that goes on does if its training split is not what it began with (names and sizes of files,
        or the texts): "stop", or "continue" with what there is now.
    """

    feed: Feed = Feed()
    source: str
    name: str
    data_dir: str = ""
    train_split: str = "train"
    eval_splits: Splits = ("test",)
    changed: Literal["stop", "continue"] = "stop"
    skipped: int = field(default=0, init=False)
    _opened: dict[str, Opened] = field(default_factory=dict, init=False, repr=False)
    _splits: dict[tuple[str, bool], S] = field(default_factory=dict, init=False, repr=False)
    _unread: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False)

    item: ClassVar[str]
    rank: ClassVar[int] = 0  # axes of an item as an array; 0 where items are texts
    tables: ClassVar[bool] = False  # whether `items` reads the texts of a table

    # What a kind says.

    def open(self, split: str) -> Opened:
        """Reads a split, or opens it for reading. `opened` keeps what it returns, of the kind's own type."""
        raise NotImplementedError

    def prepare(self, split: str, train: bool) -> S:
        """The examples of a split and the batches that they make."""
        raise NotImplementedError

    def draw(self, step: Tensor, split: Split, train: bool) -> Example:
        """Random choices for the rows of a batch, made together: tensors (b, ...) for `change` to find in its row."""
        del step, split, train
        return {}

    def change(self, split: Split, train: bool) -> Change | None:
        """What is done to each example, in parallel; None where batches are read whole.

        Returns:
          change(example, row) -> the changed example. The row has `position`, `index`, `real` and what was drawn.
        """
        del split, train
        return None

    def blank(self, train: bool) -> Example | None:
        """A changed example that stands for one that cannot be read; None where such a one is an error."""
        return None

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """A batch as it leaves the pipeline.

        Args:
          batch: the examples' entries (b, ...); `index`, `position`, `real` (b,) of the rows; `readable` float32 (b,)
            where examples were changed one by one; `step` and `length`, scalars.
        """
        raise NotImplementedError

    def wrong(self, batch: Batch, split: Split) -> tuple[int, str] | None:
        """The row of a batch that cannot be used, and why."""
        del batch, split
        return None

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """What a run can be planned by without the data set.

        Args:
          classes: of the data set, None where it has none or nobody knows.
          examples: of the training split, None where nobody knows.
        """
        raise NotImplementedError

    # What every kind has by it.

    @property
    def sizes(self) -> dict[str, int | None]:
        """What the model must be sized to."""
        raise NotImplementedError

    @property
    def known(self) -> Known:
        """What a trained run must still know of its data, as JSON."""
        return {}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """What the training split consists of, by name; a kind whose data can change says it."""
        return {}

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers, of a kind that has them: one, or the source's and the target's."""
        return ()

    @property
    def files(self) -> dict[str, bytes]:
        """The same, as files of the workdir."""
        return {}

    @property
    def spec(self) -> Spec:
        """One row of a training batch, without looking at the data."""
        raise NotImplementedError

    @property
    def shapes(self) -> list[tuple[float, Spec]]:
        """Every shape that a global training batch can have, each with its share of an epoch's batches."""
        raise NotImplementedError

    @property
    def steps_per_epoch(self) -> float:
        """Batches of an epoch."""
        return self.train.plan.steps

    @property
    def fills_a_batch(self) -> bool:
        """Whether the training split is as large as a batch."""
        return True

    @property
    def train(self) -> S:
        """The training split, of the kind's own type."""
        return self.split(self.train_split, train=True)

    def opened(self, split: str) -> Opened:
        """What `open` gave of a split, which is opened once."""
        if split not in self._opened:
            self._opened[split] = self.open(split)
        return self._opened[split]

    def split(self, split: str, train: bool = False) -> S:
        """A split as `prepare` made it, once."""
        if (split, train) not in self._splits:
            self._splits[split, train] = self.prepare(split, train)
        return self._splits[split, train]

    def describe(self) -> list[str]:
        """Lines for a person: how much there is, what was left out and why."""
        return list(dict.fromkeys([*self.train.notes, *self.notes()]))

    def notes(self) -> list[str]:
        """The same of the evaluation splits that were opened."""
        return [note for (_, train), split in self._splits.items() if not train for note in split.notes]

    def unscored(self) -> list[str]:
        """Lines on the examples of evaluation splits that could not be read, when they were last read."""
        why = "examples that could not be read are left out of the score, such as"
        return [
            f"{name}: {len(lost):,} {why} {self.called(name, lost[0])}." for name, lost in self._unread.items() if lost
        ]

    def check(self) -> None:
        """Reads, or opens, the evaluation splits.

        Raises:
          UserError: a split that does not exist, or that does not fit the training split.
        """
        for split in self.eval_splits:
            self.split(split)

    def largest(self, split: str) -> Spec:
        """The global batch of an evaluation split with the most rows or, where lengths vary, the greatest length."""
        return of_rows(self.spec, self.split(split).plan.most)

    def labels(self, split: str) -> np.ndarray | None:
        """The label of every example of a split, int (n,); None where they are known only by reading the examples."""
        source = self.split(split).source
        return source.labels() if isinstance(source, Labelled) else None

    def called(self, split: str, index: int) -> str:
        """What a person calls an example of a split: its file, or its place."""
        return self.split(split).source.describe(index)

    def items(self, argument: str) -> list[str]:
        """What `read` takes, of what a person gives for it: the files of a folder; a sentence is one by itself.

        Raises:
          UserError: what is given holds no items, or is the name of a file where texts are read.
        """
        if self.rank == 0 and os.path.isfile(argument) and os.path.splitext(argument)[1]:
            lines = flag("file", shown(argument))
            raise UserError(f"{shown(argument)} is a file, not {self.item}: {lines} reads its lines.")
        return [argument]

    def example(self) -> str:
        """An item of an evaluation split that a person can give to predict.py; "" where none has a name or a text."""
        name = self.called(self.eval_splits[0], 0)
        return name if os.path.isfile(name) else ""

    def needed(self) -> list[str]:
        """Flags that predict.py needs beside such an item."""
        return []

    def truth(self, item: str) -> str:
        """The class that is known of an item, by the folder it is in; "" where none is."""
        del item
        return ""

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """A user's own examples as one batch of the model's inputs; and notes on what was done to them."""
        raise NotImplementedError

    def view(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """The same for a figure: the items need not say what is to be predicted."""
        return self.read(items)

    def pieces(self, entry: str, ids: Iterable[int]) -> list[str]:
        """How the tokenizer of an entry of a batch ("source", "target", "tokens") spells each id."""
        return self.readers[-1 if entry == "target" else 0].pieces(ids)

    def train_batches(self, start: int) -> Iterator[Batch]:
        """Endless training batches, from step `start` on (0 is the first)."""
        split = self.train
        if isinstance(split.source, synthetic.Source):
            rows, seed = split.plan.most // self.feed.hosts, self.feed.seed + self.feed.host
            return split.source.batches(start, rows, self.spec, seed)
        return self._counted(reading.batches(self, split, start, train=True))

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Every example of a split exactly once; `index` int32 (b,) is −1 for rows that fill up the last batch."""
        found = self.split(split)
        if isinstance(found.source, synthetic.Source):
            return self._made_up(found.source, found.plan.most)
        return self._told(reading.batches(self, found, 0, train=False), split)

    @property
    def buffer(self) -> int:
        """Records in the shuffle buffer of a set that can only be streamed."""
        raise NotImplementedError

    def _counted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if "readable" in batch:
                self.skipped += int((batch.pop("readable") == 0).sum())
            yield batch

    def _told(self, batches: Iterator[Batch], split: str) -> Iterator[Batch]:
        self._unread[split] = []
        for batch in batches:
            if "readable" in batch:
                lost = (batch.pop("readable") == 0) & (batch["index"] >= 0)
                self._unread[split] += batch["index"][lost].tolist()
            yield batch

    def _made_up(self, source: synthetic.Source, most: int) -> Iterator[Batch]:
        rows = most // self.feed.hosts
        batches = source.batches(0, rows, self.spec, self.feed.seed)
        for number, batch in zip(range(MADE_UP), batches, strict=False):
            first = number * most + self.feed.host * rows
            yield batch | {"index": np.arange(first, first + rows, dtype=np.int32)}


def check_batch(batch_size: int, feed: Feed) -> None:
    """A global batch must divide by the devices and, on each, by the micro-batches.

    Raises:
      UserError: it does not; the line names the nearest one that does.
    """
    parts = feed.divisor * feed.accumulate
    if batch_size % parts:
        nearest = max(1, round(batch_size / parts)) * parts
        raise UserError(
            f"config.data.batch_size={batch_size} does not divide by {feed.divisor} devices x {feed.accumulate} "
            f"micro-batches: try --config.data.batch_size={nearest}"
        )


def of_rows(spec: Spec, rows: int, length: int | None = None) -> Spec:
    """A spec of one row as that of a batch, whose second dimension is `length` if that varies."""

    def shape(one: tuple[int, ...]) -> tuple[int, ...]:
        return (rows, *one[1:]) if length is None else (rows, length)[: len(one)]

    return {name: (shape(one), dtype) for name, (one, dtype) in spec.items()}
