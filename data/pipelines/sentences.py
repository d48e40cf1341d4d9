"""Labelled sentences, for classification (sentiment, as in SST-2): ids, in batches of sentences of like length.

b this host's rows of a batch, S its padded length.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data import text
from data.buckets import Buckets, boundaries
from data.pipelines import check_batch, ragged
from data.pipelines.ragged import Ids, Shapes
from data.tokenizer import Tokenizer
from errors import UserError, nearest

Batch = dict[str, np.ndarray]
Texts = tuple[list[str], list[int], tuple[str, ...]]  # texts, labels, names of the classes


def make(
    *,
    source: str,
    name: str,
    train_split: str,
    eval_splits: tuple[str, ...],
    batch_size: int,
    tokenizer: Literal["bpe", "unigram", "char", "word"] = "bpe",
    vocabulary_size: int = 8000,
    byte_fallback: bool = False,
    coverage: float = 1.0,
    max_length: int = 128,
    buckets: int = 6,
    data_dir: str = "",
    eval_batch_size: int = 0,
    seed: int,
    host: int = 0,
    hosts: int = 1,
    divisor: int = 1,
    accumulate: int = 1,
    known: dict[str, Any] | None = None,
    folder: Path = Path(),
) -> "Pipeline":
    """The input of a run that classifies sentences.

    Args:
      source, name, data_dir: see data/text. train_split, eval_splits: splits there.
      batch_size, eval_batch_size: sentences of a global batch; 0 for as in training.
      tokenizer, vocabulary_size, byte_fallback, coverage: see data/tokenizer.py; learned from the training split.
      max_length: the most tokens of a sentence, its end included. Longer ones are cut, counted and said.
      buckets: padded lengths, which are chosen so that the least is padding.
      seed, host ... folder: see input_pipeline.build.
    """
    if buckets < 1 or max_length < 2:
        raise UserError("config.data.buckets must be at least 1 and config.data.max_length at least 2.")
    if batch_size < 1 or eval_batch_size < 0:
        raise UserError("config.data.batch_size must be at least 1 and config.data.eval_batch_size at least 0.")
    check_batch(batch_size, divisor, accumulate)
    return Pipeline(
        read=lambda split: text.labelled(source, name, split, data_dir),
        train_split=train_split,
        eval_splits=tuple(eval_splits),
        batch_size=batch_size,
        eval_batch_size=-(-(eval_batch_size or batch_size) // divisor) * divisor,
        settings=dict(kind=tokenizer, size=vocabulary_size, byte_fallback=byte_fallback, coverage=coverage),
        max_length=max_length,
        buckets=buckets,
        seed=seed,
        host=host,
        hosts=hosts,
        trained_classes=tuple(known["classes"]) if known else None,
        trained_tokenizers=ragged.load(known["tokenizers"], folder) if known else None,
    )


@dataclass
class Pipeline:
    """Batches as dicts of NumPy arrays: tokens int32 (b, S), EOS at each sentence's end and 0 after it; label int32
    (b,); mask float32 (b,), 0 for rows that fill up a batch, which are empty.
    """

    read: Callable[[str], Texts]
    train_split: str
    eval_splits: tuple[str, ...]
    batch_size: int
    eval_batch_size: int
    settings: dict[str, Any]  # of the tokenizer
    max_length: int
    buckets: int
    seed: int
    host: int
    hosts: int
    trained_classes: tuple[str, ...] | None  # of the run that is loaded, whose own data set need not be there
    trained_tokenizers: tuple[Tokenizer, ...] | None
    skipped: int = 0
    _evaluated: dict[str, "_Split"] = field(default_factory=dict)

    @cached_property
    def _texts(self) -> Texts:
        """The training split."""
        return self.read(self.train_split)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.trained_classes or self._texts[2]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return self.trained_tokenizers[0] if self.trained_tokenizers else ragged.learn(self._texts[0], self.settings)

    @property
    def sizes(self) -> dict[str, int]:
        return {"outputs": len(self.classes), "vocabulary": self.tokenizer.size}

    @property
    def known(self) -> dict[str, Any]:
        return {"classes": list(self.classes), "tokenizers": {"tokenizer.model": self.tokenizer.digest}}

    @property
    def files(self) -> dict[str, bytes]:
        return {"tokenizer.model": self.tokenizer.model}

    @property
    def steps_per_epoch(self) -> float:
        return self._train.plan.steps

    @property
    def example(self) -> Shapes:
        return {"tokens": ((1, 8), "int32"), "label": ((1,), "int32"), "mask": ((1,), "float32")}

    @property
    def shapes(self) -> list[tuple[float, Shapes]]:
        return ragged.shapes(self._train.plan, self.example)

    def describe(self) -> list[str]:
        train, plan = self._train, self._train.plan
        tokens = sum(map(len, train.ids))
        return [
            f"{len(train.ids):,} sentences of {len(self.classes)} classes, {tokens:,} tokens of a vocabulary of "
            f"{self.tokenizer.size:,}; {plan.steps:,} batches of {self.batch_size}, in buckets of "
            f"{', '.join(map(str, plan.bounds))}, {1 - tokens / plan.room:.1%} padding.",
            *train.notes,
            *self.notes(),
        ]

    def notes(self) -> list[str]:
        """What was done to the sentences of the evaluation splits that were read."""
        return [note for split in self._evaluated.values() for note in split.notes]

    def check(self) -> None:
        """Reads and tokenizes the evaluation splits.

        Raises:
          UserError: a split that does not exist, cannot be read, is not labelled, or has classes that training has not.
        """
        for split in self.eval_splits:
            self._split(split)

    @cached_property
    def _train(self) -> "_Split":
        return self._prepared(self.train_split, self._texts, self.batch_size)

    def _split(self, split: str) -> "_Split":
        if split not in self._evaluated:
            self._evaluated[split] = self._prepared(split, self.read(split), self.eval_batch_size)
        return self._evaluated[split]

    def _prepared(self, split: str, read: Texts, rows: int) -> "_Split":
        """A split as ids and labels, in batches of `rows` sentences. Nothing is left out."""
        texts, labels, classes = read
        for name in classes:
            if name not in self.classes:
                raise UserError(
                    f"split {split!r} has a class {name!r} that training has not: {nearest(name, self.classes)}"
                )
        # A split may lack a class: its labels count its own.
        place = np.array([self.classes.index(name) for name in classes], np.int32)
        ids = self.tokenizer.encode(texts)
        notes = ragged.notes(ids, self.max_length, split)
        ids = ragged.cut(ids, self.max_length)
        lengths = np.array([len(i) for i in ids])
        bounds = boundaries(lengths, self.buckets)
        return _Split(Buckets(lengths, bounds, (rows,) * len(bounds)), ids, place[labels], notes)

    def train_batches(self, start: int) -> Iterator[Batch]:
        """Training batches from step `start` (0 is the first) on, for ever."""
        return self._batches(self._train, start, self.seed)

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Every sentence of a split once, short ones first; rows that fill up a batch have mask 0."""
        return self._batches(self._split(split), 0, None)

    def _batches(self, split: "_Split", start: int, seed: int | None) -> Iterator[Batch]:
        rows = ragged.batches(split.plan, {"tokens": split.ids}, start, seed, self.host, self.hosts)
        for index, columns in rows:
            real = index >= 0
            label = np.where(real, split.labels[index], np.int32(0))
            yield columns | {"label": label, "mask": real.astype(np.float32)}

    def batch_of(self, texts: Sequence[str], multiple: int = 8) -> tuple[Batch, list[str]]:
        """Sentences to classify as one batch {"tokens": (n, S)}; see ragged.one_batch."""
        rows, notes = ragged.one_batch(self.tokenizer, texts, self.max_length, multiple)
        return {"tokens": rows}, notes


@dataclass(frozen=True)
class _Split:
    plan: Buckets
    ids: Ids
    labels: np.ndarray  # int32 (n,)
    notes: list[str]
