"""Labelled sentences, for classification (sentiment, as in SST-2): ids, in batches of sentences of like length.

b this host's rows of a batch, S its padded length.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeAlias

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from data import fingerprint, text
from data.buckets import Buckets, boundaries
from data.order import tensorflow
from data.pipelines import ragged
from data.pipelines.base import Batch, Known, Section, Spec, Split, Splits, Unread, check_batch
from data.pipelines.ragged import Padded, Ragged, Sentences
from data.sources import Example
from data.tokenizer import Reader
from errors import UserError, nearest

Texts: TypeAlias = tuple[list[str], list[int], tuple[str, ...]]  # texts, labels, names of the classes


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    del section
    return {"batch_size": 16, "eval_batch_size": 64, "max_length": 64, "buckets": 2, "vocabulary_size": 300}


@dataclass(frozen=True)
class _Split(Padded):
    tokens: int = 0


@dataclass(kw_only=True)
class Pipeline(Ragged[Texts, _Split]):
    """Batches: tokens int32 (b, S), EOS at each sentence's end and 0 after it; label int32 (b,); mask float32 (b,), 0
    for rows that fill up a batch, which are empty.

    Attributes:
      source: "tfds", "tsv" or "recall": a module of data/text that defines `labelled`.
      batch_size: sentences of a global training batch.
      eval_batch_size: of a global evaluation batch; 0 for as in training.
    """

    batch_size: PositiveInt
    eval_batch_size: NonNegativeInt = 0
    eval_splits: Splits = ("validation",)

    item: ClassVar[str] = "a sentence"

    def __post_init__(self) -> None:
        check_batch(self.batch_size, self.feed)
        known = self.feed.known
        self._trained = tuple(known["classes"]) if known else ()
        self._trained_tokenizers = ragged.trained(known, self.feed.folder, self.tokenizer, self.learned)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: of a trained run its own, whose data set need not be here."""
        return self._trained or self.opened(self.train_split)[2]

    @cached_property
    def text_tokenizer(self) -> Reader:
        """That of the run, the one that is named, or one learned from the training split."""
        if there := self._trained_tokenizers or self.from_files():
            return ragged.only(there, self.tokenizer)
        return self.learn(self.opened(self.train_split)[0])

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizer."""
        return (self.text_tokenizer,)

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the number of classes; vocabulary: of the tokenizer."""
        return {"outputs": len(self.classes), "vocabulary": self.text_tokenizer.size}

    @property
    def known(self) -> Known:
        """The names of the classes and the tokenizer's digest."""
        return {"classes": list(self.classes), "tokenizers": {"tokenizer.model": self.text_tokenizer.digest}}

    @property
    def files(self) -> dict[str, bytes]:
        """The tokenizer."""
        return {"tokenizer.model": self.text_tokenizer.model}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Texts and labels."""
        texts, labels, _ = self.opened(self.train_split)
        return fingerprint.of_texts(texts, map(str, labels))

    @property
    def spec(self) -> Spec:
        """tokens, label and mask."""
        return {"tokens": ((1, 8), "int32"), "label": ((1,), "int32"), "mask": ((1,), "float32")}

    @property
    def fills_a_batch(self) -> bool:
        """Whether there are as many sentences as a batch has."""
        return self.train.source.size >= self.batch_size

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return self.text_tokenizer.decode(ids)

    def describe(self) -> list[str]:
        """How much there is, what is padding, and what is cut or unknown."""
        train = self.train
        return [
            f"{train.source.size:,} sentences of {len(self.classes)} classes, {train.tokens:,} tokens of a vocabulary "
            f"of {self.text_tokenizer.size:,}; {train.plan.steps:,} batches of {self.batch_size}, in buckets of "
            f"{', '.join(map(str, train.plan.bounds))}, {1 - train.tokens / train.plan.room:.1%} padding.",
            *super().describe(),
        ]

    def open(self, split: str) -> Texts:
        """The texts of a split, their labels and the names of its classes."""
        return text.labelled(self.source, self.name, split, self.data_dir)

    def prepare(self, split: str, train: bool) -> _Split:
        """A split as ids and labels. Nothing is left out."""
        texts, labels, classes = self.opened(split)
        for name in classes:
            if name not in self.classes:
                raise UserError(
                    f"split {split!r} has a class {name!r} that training has not: {nearest(name, self.classes)}"
                )
        # A split may lack a class: its labels count its own.
        place = np.array([self.classes.index(name) for name in classes], np.int32)
        ids = self.text_tokenizer.encode(texts)
        notes = ragged.notes(self.text_tokenizer, ids, self.max_length, split)
        ids = ragged.cut(ids, self.max_length)
        lengths = np.array([len(i) for i in ids])
        rows = self.batch_size
        if not train:
            rows = -(-(self.eval_batch_size or rows) // self.feed.divisor) * self.feed.divisor
        bounds = boundaries(lengths, self.buckets)
        source = Sentences({"tokens": ids}, {"label": place[labels]})
        return _Split(source, Buckets(lengths, bounds, (rows,) * len(bounds)), tuple(notes), int(lengths.sum()))

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base. Sentences have the greatest length: no batch takes more memory."""
        if classes is None:
            raise UserError(f"{self.name} is not here and its number of classes is not known.")
        plan = Buckets(np.array([self.max_length]), (self.max_length,), (self.batch_size,))
        there = self.from_files()
        size = there[0].size if there else self.vocabulary_size
        sizes: dict[str, int | None] = {"outputs": classes, "vocabulary": size}
        epoch = examples / self.batch_size if examples else None
        return Unread(sizes, self.spec, ragged.shapes(plan, self.spec), epoch, self.assumed)

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Padded, with a mask."""
        tf = tensorflow()
        return super().finish(batch, split, train) | {"mask": tf.cast(batch["real"], tf.float32)}

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Sentences to classify as one batch {"tokens": (n, S)}."""
        rows, notes = ragged.one_batch(self.text_tokenizer, items, self.max_length)
        return {"tokens": rows}, notes
