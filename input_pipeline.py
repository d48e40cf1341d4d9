"""From config.data to batches: what every pipeline offers.

The step is the only state. Which examples batch k holds, and every random choice made about them, follow from the seed
and k alone. So a run that starts at step k reads what the uninterrupted run would have read, at once, and each host
reads its slice and no more.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

import lookup
from data import published, surveys
from data.items import image_files as image_files
from data.pipelines.base import Feed, Known, Section
from data.surveys import Survey as Survey
from data.tokenizer import Reader
from errors import UserError

Batch = dict[str, np.ndarray]
SIZES = ("outputs", "vocabulary", "source_vocabulary")  # what a model may be sized to by its data
Spec = dict[str, tuple[tuple[int, ...], str]]  # entry of a batch -> shape and dtype


class Pipeline(Protocol):
    """The input of a run. Batches are dicts of NumPy arrays, this host's share of each global batch.

    Attributes:
      train_split, eval_splits: names of splits.
      skipped: training examples that could not be read and were passed over since the start, on this host.
      item: what `read` takes, for messages: "an image file".
      rank: axes of an item as an array: 3 of an image, 4 of a clip; 0 where items are texts.
      tables: whether `items` reads the texts of a table.
    """

    train_split: str
    eval_splits: tuple[str, ...]
    skipped: int
    item: str
    rank: int
    tables: bool

    @property
    def sizes(self) -> dict[str, int | None]:
        """What the model must be sized to: `outputs`, and what else its builder takes from the data."""

    @property
    def known(self) -> Known:
        """What a trained run must still know of its data, as JSON."""

    @property
    def fingerprint(self) -> dict[str, str]:
        """What the training split consists of, by name: sizes or digests. Another split has another. See
        data/fingerprint.py."""

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers, of a kind that has them: one, or the source's and the target's."""

    @property
    def files(self) -> dict[str, bytes]:
        """The same, as files of the workdir."""

    @property
    def steps_per_epoch(self) -> float:
        """Batches of an epoch."""

    @property
    def fills_a_batch(self) -> bool:
        """Whether the training split is as large as a batch."""

    @property
    def spec(self) -> Spec:
        """One row of a training batch, without looking at the data."""

    @property
    def shapes(self) -> list[tuple[float, Spec]]:
        """Every shape that a global training batch can have, each with its share of an epoch's batches."""

    def describe(self) -> list[str]:
        """Lines for a person: how much there is, what was left out and why."""

    def notes(self) -> list[str]:
        """The same of the evaluation splits that were opened."""

    def unscored(self) -> list[str]:
        """Lines on the examples of evaluation splits that could not be read, when they were last read."""

    def check(self) -> None:
        """Everything about evaluation that can be known before the first step.

        Raises:
          UserError: a split that does not exist, or that does not fit the training split.
        """

    def largest(self, split: str) -> Spec:
        """The global batch of an evaluation split with the most rows or, where lengths vary, the greatest length."""

    def labels(self, split: str) -> np.ndarray | None:
        """The label of every example of a split, int (n,); None where they are known only by reading the examples."""

    def called(self, split: str, index: int) -> str:
        """What a person calls an example of a split: its file, or its place."""

    def train_batches(self, start: int) -> Iterator[Batch]:
        """Endless training batches, from step `start` on (0 is the first)."""

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Every example of a split exactly once. `index` int32 (b,) is its place in the split, −1 for a row that only
        fills up the last batch and weighs nothing."""

    def items(self, argument: str) -> list[str]:
        """What `read` takes, of what a person gives for it: the files of a folder; a sentence is one by itself."""

    def example(self) -> str:
        """An item of an evaluation split that a person can give to predict.py; "" where none has a name or a text."""

    def needed(self) -> list[str]:
        """Flags that predict.py needs beside such an item."""

    def truth(self, item: str) -> str:
        """The class that is known of an item, by the folder it is in; "" where none is."""

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """A user's own examples as one batch of the model's inputs; and notes on what was done to them."""

    def view(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """The same for a figure: the items need not say what is to be predicted."""

    def pieces(self, entry: str, ids: Iterable[int]) -> list[str]:
        """How the tokenizer of an entry of a batch ("source", "target", "tokens") spells each id."""


def tokenizers(path: Path) -> tuple[Reader, ...]:
    """The tokenizers in a folder as it is downloaded, or beside a file of it; none where there are none."""
    try:
        return published.read(path if path.is_dir() else path.parent)
    except UserError:
        return ()


def check_apart(section: object, workdir: Path) -> None:
    """That a run is not written among its data: see data/surveys. What is no section of a config is refused later."""
    if isinstance(section, dict):
        surveys.check_apart(section, workdir)


def survey(section: Section) -> Survey:
    """What the data of config.data are, where it leaves keys open: see data/surveys."""
    return surveys.of(section["kind"], section)


def unread(section: Section, feed: Feed, survey: Survey) -> Pipeline:
    """The pipeline of config.data as it is planned, without reading the data."""
    return build(section, feed).unread(survey.classes, survey.examples)  # type: ignore[attr-defined]


def build(section: Section, feed: Feed) -> Pipeline:
    """The pipeline of config.data. Its `kind` is a module of data/pipelines, the other keys are fields of its
    `Pipeline`."""
    arguments = {key: value for key, value in section.items() if key != "kind"}
    return lookup.call("config.data", lookup.find("data.pipelines", "Pipeline", section["kind"]), arguments, feed=feed)
