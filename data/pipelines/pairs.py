"""Parallel text: pairs of a source and a target sentence, as ids, in batches counted in tokens.

b this host's rows of a batch, S and T its padded lengths, which are equal.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data import text
from data.buckets import Buckets, boundaries
from data.packing import pack
from data.pipelines import ragged
from data.pipelines.ragged import Ids, Shapes
from data.tokenizer import Tokenizer
from errors import UserError

Batch = dict[str, np.ndarray]


def make(
    *,
    source: str,
    name: str,
    languages: tuple[str, ...],
    train_split: str,
    eval_splits: tuple[str, ...],
    batch_tokens: int,
    tokenizer: Literal["bpe", "unigram", "char", "word"] = "bpe",
    vocabulary_size: int = 8000,
    joint: bool = True,
    byte_fallback: bool = False,
    coverage: float = 1.0,
    packing: bool = False,
    max_length: int = 128,
    buckets: int = 6,
    data_dir: str = "",
    eval_batch_tokens: int = 0,
    seed: int,
    host: int = 0,
    hosts: int = 1,
    divisor: int = 1,
    accumulate: int = 1,
    known: dict[str, Any] | None = None,
    folder: Path = Path(),
) -> "Pipeline":
    """The input of a translation run.

    Args:
      source, name, data_dir, languages: see data/text; languages are (source, target).
      train_split, eval_splits: splits there.
      batch_tokens, eval_batch_tokens: tokens of a global batch on each side, padding counted; 0 for as in training.
      tokenizer, vocabulary_size, byte_fallback, coverage: see data/tokenizer.py; learned from the training split,
        `joint`ly for both languages or for each its own.
      packing: fill rows of max_length with several sentences, instead of one a row in `buckets` padded lengths, which
        are chosen so that the least is padding.
      max_length: the most tokens of a sentence, its end included. Longer training pairs are left out, longer sentences
        to be evaluated are cut; both are counted and said.
      seed, host ... folder: see input_pipeline.build.
    """
    if len(languages) != 2:
        raise UserError(f"config.data.languages={languages!r} should be the source's and the target's: ('de', 'en').")
    if buckets < 1 or max_length < 2:
        raise UserError("config.data.buckets must be at least 1 and config.data.max_length at least 2.")
    for key, tokens in (("batch_tokens", batch_tokens), ("eval_batch_tokens", eval_batch_tokens or batch_tokens)):
        if tokens < max_length:
            raise UserError(f"config.data.{key}={tokens} holds not one sentence of max_length={max_length}: raise it.")
    return Pipeline(
        read=lambda split: text.pairs(source, name, split, data_dir, languages),
        languages=(languages[0], languages[1]),
        train_split=train_split,
        eval_splits=tuple(eval_splits),
        batch_tokens=batch_tokens,
        eval_batch_tokens=eval_batch_tokens or batch_tokens,
        tokenizer=dict(kind=tokenizer, size=vocabulary_size, byte_fallback=byte_fallback, coverage=coverage),
        joint=joint,
        packing=packing,
        max_length=max_length,
        buckets=buckets,
        seed=seed,
        host=host,
        hosts=hosts,
        divisor=divisor,
        accumulate=accumulate,
        trained=ragged.load(known["tokenizers"], folder) if known else None,
    )


@dataclass
class Pipeline:
    """Batches as dicts of NumPy arrays: source int32 (b, S) and target int32 (b, T), EOS at each sentence's end and 0
    after it. Packed rows have source_segment int32 (b, S) and target_segment int32 (b, T) as well: the number 1, 2, ...
    of each token's sentence in its row, 0 for padding. Evaluation batches have index int32 (b,), which pair of the split
    each row is, -1 where it is none.
    """

    read: Any  # split -> its pairs of texts
    languages: tuple[str, str]
    train_split: str
    eval_splits: tuple[str, ...]
    batch_tokens: int
    eval_batch_tokens: int
    tokenizer: dict[str, Any]
    joint: bool
    packing: bool
    max_length: int
    buckets: int
    seed: int
    host: int
    hosts: int
    divisor: int
    accumulate: int
    trained: tuple[Tokenizer, ...] | None  # of the run that is loaded, whose own data set need not be there
    skipped: int = 0
    _texts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    _evaluated: dict[str, "_Eval"] = field(default_factory=dict)

    @cached_property
    def tokenizers(self) -> tuple[Tokenizer, ...]:
        """One for both languages, or the source's and the target's."""
        if self.trained:
            return self.trained
        sides = list(zip(*self.pairs(self.train_split), strict=True))
        corpora = [[*sides[0], *sides[1]]] if self.joint else sides
        return tuple(ragged.learn(corpus, self.tokenizer) for corpus in corpora)

    @property
    def source_tokenizer(self) -> Tokenizer:
        return self.tokenizers[0]

    @property
    def target_tokenizer(self) -> Tokenizer:
        return self.tokenizers[-1]

    @property
    def sizes(self) -> dict[str, int | None]:
        return {
            "outputs": self.target_tokenizer.size,
            "source_vocabulary": None if self.joint else self.source_tokenizer.size,
        }

    @property
    def known(self) -> dict[str, Any]:
        return {"tokenizers": {name: t.digest for name, t in self._named().items()}}

    @property
    def files(self) -> dict[str, bytes]:
        return {name: tokenizer.model for name, tokenizer in self._named().items()}

    def _named(self) -> dict[str, Tokenizer]:
        names = ["tokenizer.model"] if self.joint else [f"tokenizer.{language}.model" for language in self.languages]
        return dict(zip(names, self.tokenizers, strict=True))

    @property
    def steps_per_epoch(self) -> float:
        return self._train.plan.steps

    @property
    def example(self) -> Shapes:
        names = ("source", "target") + (("source_segment", "target_segment") if self.packing else ())
        return dict.fromkeys(names, ((1, 8), "int32"))

    @property
    def shapes(self) -> list[tuple[float, Shapes]]:
        return ragged.shapes(self._train.plan, self.example)

    def describe(self) -> list[str]:
        train, plan = self._train, self._train.plan
        what = "packed" if self.packing else "in buckets of " + ", ".join(map(str, plan.bounds))
        lines = [
            f"{train.kept:,} pairs {'-'.join(self.languages)}, {train.tokens[1]:,} target tokens of a vocabulary of "
            f"{self.target_tokenizer.size:,}; {plan.steps:,} batches of about {self.batch_tokens:,} tokens, {what}, "
            f"{1 - sum(train.tokens) / (2 * plan.room):.1%} padding."
        ]
        if train.empty or train.long:
            lines.append(
                f"Left out of {train.kept + train.empty + train.long:,} training pairs: {train.empty:,} with an empty side, "
                f"{train.long:,} longer than max_length={self.max_length}."
            )
        return lines + train.notes + self.notes()

    def notes(self) -> list[str]:
        """What was done to the sentences of the evaluation splits that were read."""
        return [note for split in self._evaluated.values() for note in split.notes]

    def check(self) -> None:
        """Reads and tokenizes the evaluation splits.

        Raises:
          UserError: a split that does not exist or cannot be read.
        """
        for split in self.eval_splits:
            self._split(split)

    def pairs(self, split: str) -> list[tuple[str, str]]:
        """The texts of a split, (source, target)."""
        if split not in self._texts:
            self._texts[split] = self.read(split)
        return self._texts[split]

    @cached_property
    def _train(self) -> "_Train":
        """The training split as ids, in rows."""
        sides = self._encode(self.pairs(self.train_split))
        lengths = np.array([[len(a), len(b)] for a, b in zip(*sides, strict=True)])
        empty = lengths.min(1) == 1  # EOS alone
        long = ~empty & (lengths.max(1) > self.max_length)
        kept = np.flatnonzero(~empty & ~long)
        if not kept.size:
            raise UserError(
                f"no pair of {self.train_split} is left: {empty.sum():,} have an empty side and {long.sum():,} are longer "
                f"than config.data.max_length={self.max_length}."
            )
        source, target = ([side[i] for i in kept] for side in sides)
        if self.packing:
            columns = pack(source, target, self.max_length, self.seed)
            row_lengths = np.full(len(columns["source"]), self.max_length)
            bounds: tuple[int, ...] = (self.max_length,)
        else:
            columns = {"source": source, "target": target}
            row_lengths = lengths[kept].max(1)
            bounds = boundaries(row_lengths, self.buckets)
        plan = self.plan(row_lengths, bounds, self.batch_tokens)
        tokens = (sum(map(len, source)), sum(map(len, target)))
        notes = self._notes(self.train_split, (source, target))
        return _Train(plan, columns, kept.size, int(empty.sum()), int(long.sum()), tokens, notes)

    def plan(self, lengths: np.ndarray, bounds: tuple[int, ...], tokens: int, train: bool = True) -> Buckets:
        """Batches of about `tokens` tokens of sentences of these lengths, int (n,), padded to these bounds."""
        divisor = self.divisor * (self.accumulate if train else 1)
        rows = tuple(max(1, tokens // bound // divisor) * divisor for bound in bounds)
        return Buckets(lengths, bounds, rows)

    def _split(self, split: str) -> "_Eval":
        """An evaluation split as ids. Nothing is left out."""
        if split in self._evaluated:
            return self._evaluated[split]
        sides = self._encode(self.pairs(split))
        notes = self._notes(split, sides)
        sides = (ragged.cut(sides[0], self.max_length), ragged.cut(sides[1], self.max_length))
        lengths = np.array([max(len(a), len(b)) for a, b in zip(*sides, strict=True)])
        plan = self.plan(lengths, boundaries(lengths, self.buckets), self.eval_batch_tokens, train=False)
        self._evaluated[split] = _Eval(plan, dict(zip(("source", "target"), sides, strict=True)), notes)
        return self._evaluated[split]

    def _notes(self, split: str, sides: tuple[Ids, Ids]) -> list[str]:
        both = zip(sides, self.languages, strict=True)
        return [note for side, of in both for note in ragged.notes(side, self.max_length, f"{split} ({of})")]

    def _encode(self, pairs: Sequence[tuple[str, str]]) -> tuple[Ids, Ids]:
        sources, targets = zip(*pairs, strict=True)
        return self.source_tokenizer.encode(sources), self.target_tokenizer.encode(targets)

    def train_batches(self, start: int) -> Iterator[Batch]:
        """Training batches from step `start` (0 is the first) on, for ever."""
        train = self._train
        rows = ragged.batches(train.plan, train.columns, start, self.seed, self.host, self.hosts)
        return (columns for _, columns in rows)

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Every pair of a split once, short ones first; rows that fill up a batch are empty and have index -1."""
        read = self._split(split)
        rows = ragged.batches(read.plan, read.columns, 0, None, self.host, self.hosts)
        return (columns | {"index": index} for index, columns in rows)

    def batch_of(self, sources: Sequence[str], multiple: int = 8) -> tuple[Batch, list[str]]:
        """Sentences to translate as one batch {"source": (n, S)}; see ragged.one_batch."""
        rows, notes = ragged.one_batch(self.source_tokenizer, sources, self.max_length, multiple)
        return {"source": rows}, notes


@dataclass(frozen=True)
class _Train:
    plan: Buckets
    columns: dict[str, Ids]
    kept: int
    empty: int
    long: int
    tokens: tuple[int, int]
    notes: list[str]


@dataclass(frozen=True)
class _Eval:
    plan: Buckets
    columns: dict[str, Ids]
    notes: list[str]
