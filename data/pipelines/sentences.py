"""Sentences, or pairs of them, with a label (sentiment, as in SST-2) or a number (similarity, as in STS-B): ids, in
batches of sentences of like length.

b this host's rows of a batch, S its padded length.
"""

import contextlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from annotated_types import MaxLen
from pydantic import NonNegativeInt, PositiveInt

from data import fingerprint, text
from data.buckets import Buckets, boundaries
from data.order import tensorflow
from data.pipelines import ragged
from data.pipelines.base import Batch, Known, Section, Spec, Split, Splits, Unread, check_batch
from data.pipelines.ragged import Ids, Padded, Ragged, Sentences
from data.sources import Example
from data.text import table
from data.tokenizer import Reader
from errors import UserError, nearest, shown
from models.tokens import BOS, EOS


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    del section
    return {"batch_size": 16, "eval_batch_size": 64, "max_length": 64, "buckets": 2, "vocabulary_size": 300}


class Texts(NamedTuple):
    """texts: n of them. labels: n. classes: their names. second: the other texts of n pairs, or None. numbers: n, in
    place of labels."""

    texts: list[str]
    labels: list[int]
    classes: tuple[str, ...]
    second: list[str] | None = None
    numbers: np.ndarray | None = None


@dataclass(frozen=True)
class _Split(Padded):
    tokens: int = 0


@dataclass(kw_only=True)
class Pipeline(Ragged[Texts, _Split]):
    """Batches: tokens int32 (b, S), EOS at each sentence's end and 0 after it; label int32 (b,); mask float32 (b,), 0
    for rows that fill up a batch, which are empty. Of pairs also types int32 (b, S), 1 in the second sentence. With
    `numbers`, target float32 (b,) in place of label: the number, less the mean of the training split's and divided by
    their deviation.

    Attributes:
      source: "tfds", "tsv" or "recall": a module of data/text that defines `labelled` or, of pairs and numbers,
        `column`.
      fields: what the set calls its text, or the two texts of a pair; () for `sentence` or `text`. In a pair that is
        too long the longer text is cut.
      label: what it calls the label.
      numbers: whether labels are numbers that are predicted, and not classes.
      begin: whether a row begins with BOS, BERT's [CLS].
      batch_size: sentences of a global training batch.
      eval_batch_size: of a global evaluation batch; 0 for as in training.
    """

    fields: Annotated[tuple[str, ...], MaxLen(2)] = ()
    label: str = "label"
    numbers: bool = False
    begin: bool = False
    batch_size: PositiveInt
    eval_batch_size: NonNegativeInt = 0
    eval_splits: Splits = ("validation",)

    _truths: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    item: ClassVar[str] = "a sentence"
    tables: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_batch(self.batch_size, self.feed)
        known = self.feed.known
        self._trained = tuple(known["classes"]) if known and not self.numbers else ()
        self._moments = (known["mean"], known["deviation"]) if known and self.numbers else None
        self._trained_tokenizers = ragged.trained(known, self.feed.folder, self.tokenizer, self.learned)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: of a trained run its own, whose data set need not be here."""
        return self._trained or self.opened(self.train_split).classes

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and deviation of the training split's numbers."""
        if self._moments:
            return self._moments
        numbers = self.opened(self.train_split).numbers
        assert numbers is not None, "labels have no mean"
        if not (deviation := float(numbers.std())):
            raise UserError(
                f"{self.name} {self.train_split}: all its {self.label} are {numbers[0]:g}: nothing to learn."
            )
        return float(numbers.mean()), deviation

    @property
    def _pairs(self) -> bool:
        return len(self.fields) > 1

    @cached_property
    def text_tokenizer(self) -> Reader:
        """That of the run, the one that is named, or one learned from the training split."""
        if there := self._trained_tokenizers or self.from_files():
            return ragged.only(there, self.tokenizer)
        train = self.opened(self.train_split)
        return self.learn([*train.texts, *(train.second or [])])

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizer."""
        return (self.text_tokenizer,)

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the number of classes, 1 for numbers; vocabulary: of the tokenizer."""
        if self.begin and "bos" in self.text_tokenizer.lacks:
            raise UserError(f"config.data.begin=True: the tokenizer {self.tokenizer} has no [CLS].")
        return {"outputs": 1 if self.numbers else len(self.classes), "vocabulary": self.text_tokenizer.size}

    @property
    def known(self) -> Known:
        """The names of the classes, or the moments of the numbers, and the tokenizer's digest."""
        names = ("mean", "deviation")
        about = dict(zip(names, self.moments, strict=True)) if self.numbers else {"classes": list(self.classes)}
        return about | {"tokenizers": {"tokenizer.model": self.text_tokenizer.digest}}

    @property
    def files(self) -> dict[str, bytes]:
        """The tokenizer."""
        return {"tokenizer.model": self.text_tokenizer.model}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Texts and labels."""
        train = self.opened(self.train_split)
        labels = train.labels if train.numbers is None else train.numbers.tolist()
        return fingerprint.of_texts(train.texts, *([train.second] if train.second else []), map(str, labels))

    @property
    def spec(self) -> Spec:
        """tokens, label and mask, and what pairs and numbers have."""
        types: Spec = {"types": ((1, 8), "int32")} if self._pairs else {}
        label: Spec = {"target": ((1,), "float32")} if self.numbers else {"label": ((1,), "int32")}
        return {"tokens": ((1, 8), "int32"), **types, **label, "mask": ((1,), "float32")}

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
        of = "with numbers of mean {:.4g} and deviation {:.4g}".format(*self.moments) if self.numbers else ""
        return [
            f"{train.source.size:,} {'pairs of ' * self._pairs}sentences {of or f'of {len(self.classes)} classes'}, "
            f"{train.tokens:,} tokens of a vocabulary "
            f"of {self.text_tokenizer.size:,}; {train.plan.steps:,} batches of {self.batch_size}, in buckets of "
            f"{', '.join(map(str, train.plan.bounds))}, {1 - train.tokens / train.plan.room:.1%} padding.",
            *super().describe(),
        ]

    def open(self, split: str) -> Texts:
        """The texts of a split, their labels and the names of its classes, or their numbers."""
        where = (self.source, self.name, split, self.data_dir)
        first = self.fields[0] if self.fields else ""
        second = [str(one) for one in text.column(*where, self.fields[1])] if self._pairs else None
        if not self.numbers:
            return Texts(*text.labelled(*where, first, self.label), second)
        texts = [str(one) for one in text.column(*where, first)]
        return Texts(texts, [], (), second, _numbers(text.column(*where, self.label), f"{self.name} {split}"))

    def prepare(self, split: str, train: bool) -> _Split:
        """A split as ids and labels, or numbers. Nothing is left out."""
        opened = self.opened(split)
        for name in opened.classes:
            if name not in self.classes:
                raise UserError(
                    f"split {split!r} has a class {name!r} that training has not: {nearest(name, self.classes)}"
                )
        # A split may lack a class: its labels count its own.
        place = np.array([self.classes.index(name) for name in opened.classes], np.int32)
        ids, entries = self._encoded(opened.texts, opened.second)
        notes = ragged.notes(self.text_tokenizer, ids, self.max_length, split)
        ids = entries["tokens"]
        lengths = np.array([len(i) for i in ids])
        rows = self.batch_size
        if not train:
            rows = -(-(self.eval_batch_size or rows) // self.feed.divisor) * self.feed.divisor
        bounds = boundaries(lengths, self.buckets)
        if opened.numbers is None:
            source = Sentences(entries, {"label": place[opened.labels]})
        else:
            mean, deviation = self.moments
            source = Sentences(entries, {"target": ((opened.numbers - mean) / deviation).astype(np.float32)})
        return _Split(source, Buckets(lengths, bounds, (rows,) * len(bounds)), tuple(notes), int(lengths.sum()))

    def _encoded(self, texts: Sequence[str], second: Sequence[str] | None) -> tuple[Ids, dict[str, Ids]]:
        """The ids of texts or pairs, whole; and the entries of a batch that they make, no longer than max_length."""
        begin = np.array([BOS] * self.begin, np.int32)
        ids = [np.concatenate([begin, one]) for one in self.text_tokenizer.encode(texts)]
        if second is None:
            return ids, {"tokens": ragged.cut(ids, self.max_length)}
        more = np.full(self.text_tokenizer.between - 1, EOS, np.int32)
        others = [np.concatenate([more, one]) for one in self.text_tokenizer.encode(second)]
        whole = [np.concatenate(pair) for pair in zip(ids, others, strict=True)]
        cut = [_shared(*pair, self.max_length) for pair in zip(ids, others, strict=True)]
        types = [np.repeat(np.array([0, 1], np.int32), [len(a), len(b)]) for a, b in cut]
        return whole, {"tokens": [np.concatenate(pair) for pair in cut], "types": types}

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base. Sentences have the greatest length: no batch takes more memory."""
        if classes is None and not self.numbers:
            raise UserError(
                f"{self.name} is not here and its number of classes is not known: set config.data.name and "
                "config.data.data_dir to where it is."
            )
        plan = Buckets(np.array([self.max_length]), (self.max_length,), (self.batch_size,))
        there = self.from_files()
        size = there[0].size if there else self.vocabulary_size
        sizes: dict[str, int | None] = {"outputs": 1 if self.numbers else classes, "vocabulary": size}
        epoch = examples / self.batch_size if examples else None
        return Unread(sizes, self.spec, ragged.shapes(plan, self.spec), epoch, self.assumed)

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Padded, with a mask."""
        tf = tensorflow()
        return super().finish(batch, split, train) | {"mask": tf.cast(batch["real"], tf.float32)}

    def example(self) -> str:
        """The first text of an evaluation split, or pair with a tab between."""
        opened = self.opened(self.eval_splits[0])
        return "\t".join([opened.texts[0], *(opened.second[:1] if opened.second else [])])

    def items(self, argument: str) -> list[str]:
        """The texts of a table, with a tab between the two of pairs; a sentence is one by itself."""
        if os.path.splitext(argument)[1] not in table.SUFFIXES or not os.path.isfile(argument):
            return super().items(argument)
        where, (first, *others) = ("table", argument, "train", ""), self.fields or ("",)
        columns = [text.column(*where, field) for field in (first, *others)]
        found = ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
        with contextlib.suppress(UserError):  # the table has no labels
            _, labels, classes = text.labelled(*where, first, self.label)
            self._truths |= {item: classes[label] for item, label in zip(found, labels, strict=True)}
        return found

    def truth(self, item: str) -> str:
        """The class that a table says of a text; "" where none does."""
        return self._truths.get(item, "")

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Sentences to classify as one batch {"tokens": (n, S)}; of pairs, with a tab between the two, also "types".

        Raises:
          UserError: a pair without its tab.
        """
        firsts, seconds = ragged.typed(items), None
        if self._pairs:
            for item in items:
                if item.count("\t") != 1:
                    raise UserError(f"'{shown(item)[:60]}' is no pair: write {' and '.join(self.fields)} with one tab.")
            firsts, seconds = zip(*(item.split("\t") for item in firsts), strict=True)
        whole, entries = self._encoded(firsts, seconds)
        notes = ragged.notes_of(self.text_tokenizer, items, whole, self.max_length)
        return {name: ragged.padded(rows, self.max_length) for name, rows in entries.items()}, notes


def _numbers(values: Sequence[str | float], what: str) -> np.ndarray:
    """Labels that are numbers, float64.

    Raises:
      UserError: one that is none.
    """
    found = []
    for i, value in enumerate(values):
        try:
            found.append(float(value))
        except ValueError:
            found.append(math.nan)
        if not math.isfinite(found[-1]):
            raise UserError(
                f"{what}: example {i} has the label {value!r}, which is no number: mend it or leave the example out; "
                "for classes take config.data.numbers=False and config.task.name=classify."
            )
    return np.array(found)


def _shared(first: np.ndarray, second: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Two texts of ids with together `most` at most, each with EOS at its end: the longer one is cut, or both."""
    (first,) = ragged.cut([first], max(most - len(second), most - most // 2))
    (second,) = ragged.cut([second], most - len(first))
    return first, second
