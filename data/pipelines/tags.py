"""Sentences whose words have a label each (named entities, parts of speech): ids, in batches of sentences of like
length.

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
from data.pipelines import ragged
from data.pipelines.base import Batch, Known, Section, Spec, Split, Splits, Unread, check_batch
from data.pipelines.ragged import Ids, Padded, Ragged, Sentences
from data.sources import Example
from data.tokenizer import Reader
from errors import UserError, nearest
from models.tokens import BOS, EOS, UNKNOWN

Tagged: TypeAlias = list[tuple[list[str], list[str]]]  # words and labels
NONE = -1  # the label of a piece that begins no word


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    del section
    return {"batch_size": 16, "eval_batch_size": 64, "max_length": 64, "buckets": 2, "vocabulary_size": 300}


@dataclass(kw_only=True)
class Pipeline(Ragged[Tagged, Padded]):
    """Batches: tokens int32 (b, S), EOS at each sentence's end and 0 after it; label int32 (b, S), that of a word at
    its first token and −1 elsewhere (1810.04805, section 5.3).

    Attributes:
      source: "conll", or another module of data/text that defines `tagged`.
      max_length: the most tokens of a row. Of longer sentences the end is neither seen nor scored; how many is said.
      begin: whether a row begins with BOS, BERT's [CLS].
      batch_size: sentences of a global training batch.
      eval_batch_size: of a global evaluation batch; 0 for as in training.
    """

    source: str = "conll"
    begin: bool = False
    batch_size: PositiveInt
    eval_batch_size: NonNegativeInt = 0
    eval_splits: Splits = ("validation",)

    item: ClassVar[str] = "a sentence"

    def __post_init__(self) -> None:
        check_batch(self.batch_size, self.feed)
        known = self.feed.known
        self._trained = tuple(known["classes"]) if known else ()
        self._trained_tokenizers = ragged.trained(known, self.feed.folder, self.tokenizer, self.learned)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels: those of the run, or of the training split, sorted."""
        return self._trained or tuple(
            sorted({label for _, labels in self.opened(self.train_split) for label in labels})
        )

    @cached_property
    def text_tokenizer(self) -> Reader:
        """That of the run, the one that is named, or one learned from the training split."""
        if there := self._trained_tokenizers or self.from_files():
            return ragged.only(there, self.tokenizer)
        return self.learn(" ".join(words) for words, _ in self.opened(self.train_split))

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizer."""
        return (self.text_tokenizer,)

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the number of labels; vocabulary: of the tokenizer."""
        return {"outputs": len(self.classes), "vocabulary": self.text_tokenizer.size}

    @property
    def known(self) -> Known:
        """The labels and the tokenizer's digest."""
        return {"classes": list(self.classes), "tokenizers": {"tokenizer.model": self.text_tokenizer.digest}}

    @property
    def files(self) -> dict[str, bytes]:
        """The tokenizer."""
        return {"tokenizer.model": self.text_tokenizer.model}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Words and labels."""
        return fingerprint.of_texts(*zip(*[map(" ".join, one) for one in self.opened(self.train_split)], strict=True))

    @property
    def spec(self) -> Spec:
        """tokens and label."""
        return {"tokens": ((1, 8), "int32"), "label": ((1, 8), "int32")}

    @property
    def fills_a_batch(self) -> bool:
        """Whether there are as many sentences as a batch has."""
        return self.train.source.size >= self.batch_size

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return self.text_tokenizer.decode(ids)

    def describe(self) -> list[str]:
        """How much there is, and what is cut or unknown."""
        train, words = self.train, sum(len(words) for words, _ in self.opened(self.train_split))
        return [
            f"{train.source.size:,} sentences of {words:,} words with {len(self.classes)} labels, a vocabulary of "
            f"{self.text_tokenizer.size:,}; {train.plan.steps:,} batches of {self.batch_size}, in buckets of "
            f"{', '.join(map(str, train.plan.bounds))}.",
            *super().describe(),
        ]

    def open(self, split: str) -> Tagged:
        """The sentences of a split."""
        return text.tagged(self.source, self.name, split, self.data_dir)

    def prepare(self, split: str, train: bool) -> Padded:
        """A split as ids and labels. Nothing is left out."""
        sentences = self.opened(split)
        place = {name: i for i, name in enumerate(self.classes)}
        if strange := next((label for _, labels in sentences for label in labels if label not in place), None):
            raise UserError(
                f"split {split!r} has a label {strange!r} that training has not: {nearest(strange, self.classes)}"
            )
        ids, begins = self._encoded([words for words, _ in sentences])
        notes = ragged.notes(self.text_tokenizer, ids, self.max_length, split)
        ids, labels = self._cut(ids, begins, [[place[name] for name in names] for _, names in sentences])
        lengths = np.array([len(i) for i in ids])
        rows = self.batch_size
        if not train:
            rows = -(-(self.eval_batch_size or rows) // self.feed.divisor) * self.feed.divisor
        bounds = boundaries(lengths, self.buckets)
        source = Sentences({"tokens": ids, "label": [label - NONE for label in labels]})
        return Padded(source, Buckets(lengths, bounds, (rows,) * len(bounds)), tuple(notes))

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Padded: what pads the labels is −1."""
        made = super().finish(batch, split, train)
        return made | {"label": made["label"] + NONE}

    def _encoded(self, sentences: Sequence[Sequence[str]]) -> tuple[Ids, list[np.ndarray]]:
        """The ids of sentences of words, and where a word begins, bool of the same lengths."""
        spaced = [word if i == 0 else f" {word}" for words in sentences for i, word in enumerate(words)]
        ends = "eos" not in self.text_tokenizer.lacks
        pieces = iter([ids[:-1] if ends else ids for ids in self.text_tokenizer.encode(spaced)])
        ids, begins = [], []
        for words in sentences:
            # A word that normalisation leaves empty, such as a zero-width space, still gets a label.
            parts = [part if len(part := next(pieces)) else np.array([UNKNOWN], np.int32) for _ in words]
            ids.append(np.concatenate([[BOS] * self.begin, *parts, [EOS]]).astype(np.int32))
            begin = np.zeros(len(ids[-1]), bool)
            begin[self.begin + np.cumsum([0, *map(len, parts[:-1])])] = True
            begins.append(begin)
        return ids, begins

    def _cut(self, ids: Ids, begins: Ids, labels: Sequence[Sequence[int] | int]) -> tuple[Ids, Ids]:
        """Rows of at most max_length tokens, and the label of each token: that of the words that begin there."""
        made = []
        for begin, of_words in zip(begins, labels, strict=True):
            label = np.full(len(begin), NONE, np.int32)
            label[begin] = of_words
            made.append(label if len(label) <= self.max_length else np.append(label[: self.max_length - 1], NONE))
        return ragged.cut(ids, self.max_length), made

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base. Sentences have the greatest length: no batch takes more memory."""
        if classes is None:
            raise UserError(
                f"{self.name} is not here and its number of labels is not known: set config.data.name and "
                "config.data.data_dir to where it is."
            )
        plan = Buckets(np.array([self.max_length]), (self.max_length,), (self.batch_size,))
        there = self.from_files()
        sizes: dict[str, int | None] = {
            "outputs": classes,
            "vocabulary": there[0].size if there else self.vocabulary_size,
        }
        epoch = examples / self.batch_size if examples else None
        return Unread(sizes, self.spec, ragged.shapes(plan, self.spec), epoch, self.assumed)

    def example(self) -> str:
        """The first sentence of an evaluation split."""
        words, _ = self.opened(self.eval_splits[0])[0]
        return " ".join(words)

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Sentences, whose words are parted by white space, as one batch {"tokens": (n, S), "label": (n, S)}: the label
        is 0 where a word begins and −1 elsewhere."""
        ids, begins = self._encoded([item.split() for item in ragged.typed(items)])
        notes = ragged.notes_of(self.text_tokenizer, items, ids, self.max_length)
        rows, labels = self._cut(ids, begins, [0] * len(ids))
        return {
            "tokens": ragged.padded(rows, self.max_length),
            "label": ragged.padded(labels, self.max_length, NONE),
        }, notes
