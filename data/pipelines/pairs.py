"""Parallel text: pairs of a source and a target sentence, as ids, in batches counted in tokens.

b this host's rows of a batch, S and T its padded lengths, which are equal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from data import fingerprint, text
from data.buckets import Buckets, boundaries
from data.packing import pack
from data.pipelines import ragged
from data.pipelines.base import Batch, Known, Section, Spec, Splits, Unread
from data.pipelines.ragged import Ids, Padded, Ragged, Sentences
from data.tokenizer import Reader
from errors import UserError
from lookup import Distinct


def debug(section: Section) -> dict[str, int | str]:
    """What a `:debug` variant changes."""
    changes: dict[str, int | str] = {"batch_tokens": 512, "max_length": 64, "buckets": 2, "vocabulary_size": 300}
    published = (section["tokenizer"] or "bpe") not in Pipeline.learned
    return changes | ({"tokenizer": "bpe"} if published else {})


@dataclass(frozen=True)
class _Split(Padded):
    kept: int = 0
    empty: int = 0
    long: int = 0
    tokens: tuple[int, int] = (0, 0)


@dataclass(kw_only=True)
class Pipeline(Ragged[list[tuple[str, str]], _Split]):
    """Batches: source int32 (b, S) and target int32 (b, T), EOS at each sentence's end and 0 after it. Packed rows have
    source_segment int32 (b, S) and target_segment int32 (b, T) as well: the number 1, 2, ... of each token's sentence
    in its row, 0 for padding.

    Attributes:
      source: "files", "tsv", "tfds", "dates" or "reverse": a module of data/text that defines `pairs`.
      languages: the source's and the target's, as the set spells them: ("de", "en").
      batch_tokens: tokens of a global training batch on each side, padding counted.
      eval_batch_tokens: of a global evaluation batch; 0 for as in training.
      max_length: the most tokens of a sentence, its end included. Longer training pairs, and those with an empty side,
        are left out; longer sentences to be evaluated are cut. Both are counted and said.
      joint: one tokenizer for both languages, learned from both, instead of one for each. Published ones are joint:
        they share a vocabulary.
      packing: fill rows of max_length with several sentences, instead of one a row in padded lengths.
    """

    languages: Annotated[tuple[str, ...], Distinct]
    batch_tokens: PositiveInt
    eval_batch_tokens: NonNegativeInt = 0
    eval_splits: Splits = ("validation", "test")
    joint: bool = True
    packing: bool = False

    item: ClassVar[str] = "a sentence"

    def __post_init__(self) -> None:
        if len(self.languages) != 2:
            raise UserError(
                f"config.data.languages={self.languages!r} should be the source's and the target's: ('de', 'en')."
            )
        for key in ("batch_tokens", "eval_batch_tokens"):
            if 0 < getattr(self, key) < self.max_length:
                raise UserError(
                    f"config.data.{key}={getattr(self, key)} holds not one sentence of max_length={self.max_length}: "
                    "raise it."
                )
        known = self.feed.known
        if not self.joint and self.tokenizer not in self.learned:
            raise UserError(
                f"config.data.joint=False is for tokenizers that are learned here: {self.tokenizer} has one vocabulary "
                "for both languages."
            )
        self._trained = ragged.trained(known, self.feed.folder, self.tokenizer, self.learned)

    @cached_property
    def tokenizers(self) -> tuple[Reader, ...]:
        """One for both languages, or the source's and the target's: those of the run, those that are named, or learned
        from the training split.
        """
        if there := self._trained or self.from_files():
            return there
        sides = list(zip(*self.opened(self.train_split), strict=True))
        corpora = [[*sides[0], *sides[1]]] if self.joint else sides
        return tuple(self.learn(corpus) for corpus in corpora)

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers."""
        return self.tokenizers

    @property
    def source_tokenizer(self) -> Reader:
        """Of the source language."""
        return self.tokenizers[0]

    @property
    def target_tokenizer(self) -> Reader:
        """Of the target language."""
        return self.tokenizers[-1]

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the target's vocabulary; source_vocabulary: the source's, None if they share one."""
        source = None if self.joint else self.source_tokenizer.size
        return {"outputs": self.target_tokenizer.size, "source_vocabulary": source}

    @property
    def known(self) -> Known:
        """The tokenizers' digests."""
        return {"tokenizers": {name: t.digest for name, t in self._named().items()}}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Both sides of the pairs."""
        return fingerprint.of_texts(*zip(*self.opened(self.train_split), strict=True))

    @property
    def files(self) -> dict[str, bytes]:
        """The tokenizers."""
        return {name: tokenizer.model for name, tokenizer in self._named().items()}

    def _named(self) -> dict[str, Reader]:
        names = [f"tokenizer.{language}.model" for language in self.languages]
        names = ["tokenizer.model"] if len(self.tokenizers) == 1 else names
        return dict(zip(names, self.tokenizers, strict=True))

    @property
    def spec(self) -> Spec:
        """source and target, and their segments where rows are packed."""
        names = ("source", "target") + (("source_segment", "target_segment") if self.packing else ())
        return dict.fromkeys(names, ((1, 8), "int32"))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a target's ids."""
        return self.target_tokenizer.decode(ids)

    def texts(self, split: str) -> list[str]:
        """The target sentences of a split, in its order: the references of translations."""
        return [target for _, target in self.opened(split)]

    def describe(self) -> list[str]:
        """How much there is, what is padding, and what is left out, cut or unknown."""
        train, plan = self.train, self.train.plan
        what = "packed" if self.packing else "in buckets of " + ", ".join(map(str, plan.bounds))
        lines = [
            f"{train.kept:,} pairs {'-'.join(self.languages)}, {train.tokens[1]:,} target tokens of a vocabulary of "
            f"{self.target_tokenizer.size:,}; {plan.steps:,} batches of about {self.batch_tokens:,} tokens, {what}, "
            f"{1 - sum(train.tokens) / (2 * plan.room):.1%} padding."
        ]
        if train.empty or train.long:
            lines.append(
                f"Left out of {train.kept + train.empty + train.long:,} training pairs: {train.empty:,} with an empty "
                f"side, {train.long:,} longer than max_length={self.max_length}."
            )
        return lines + super().describe()

    def open(self, split: str) -> list[tuple[str, str]]:
        """The texts of a split, (source, target)."""
        return text.pairs(self.source, self.name, split, self.data_dir, self.languages)

    def prepare(self, split: str, train: bool) -> _Split:
        """A split as ids, in rows."""
        sides = self._encode(self.opened(split))
        return self._training(split, sides) if train else self._evaluation(split, sides)

    def _training(self, split: str, sides: tuple[Ids, Ids]) -> _Split:
        lengths = np.array([[len(a), len(b)] for a, b in zip(*sides, strict=True)])
        empty = lengths.min(1) == 1  # EOS alone
        long = ~empty & (lengths.max(1) > self.max_length)
        kept = np.flatnonzero(~empty & ~long)
        if not kept.size:
            raise UserError(
                f"no pair of {split} is left: {empty.sum():,} have an empty side and {long.sum():,} are longer "
                f"than config.data.max_length={self.max_length}."
            )
        source, target = ([side[i] for i in kept] for side in sides)
        if self.packing:
            columns = pack(source, target, self.max_length, self.feed.seed)
            row_lengths = np.full(len(columns["source"]), self.max_length)
            bounds: tuple[int, ...] = (self.max_length,)
        else:
            columns = {"source": source, "target": target}
            row_lengths = lengths[kept].max(1)
            bounds = boundaries(row_lengths, self.buckets)
        plan = self._plan(row_lengths, bounds, train=True)
        tokens = (sum(map(len, source)), sum(map(len, target)))
        notes = self._notes(split, (source, target))
        return _Split(Sentences(columns), plan, notes, kept.size, int(empty.sum()), int(long.sum()), tokens)

    def _evaluation(self, split: str, sides: tuple[Ids, Ids]) -> _Split:
        """Nothing is left out."""
        notes = self._notes(split, sides)
        columns = {
            name: ragged.cut(ids, self.max_length) for name, ids in zip(("source", "target"), sides, strict=True)
        }
        lengths = np.array([max(len(a), len(b)) for a, b in zip(*columns.values(), strict=True)])
        plan = self._plan(lengths, boundaries(lengths, self.buckets), train=False)
        return _Split(Sentences(columns), plan, notes)

    def _plan(self, lengths: np.ndarray, bounds: tuple[int, ...], train: bool) -> Buckets:
        """Batches of about `batch_tokens` tokens of sentences of these lengths, int (n,), padded to these bounds."""
        tokens = self.batch_tokens if train else self.eval_batch_tokens or self.batch_tokens
        divisor = self.feed.divisor * (self.feed.accumulate if train else 1)
        rows = tuple(max(1, tokens // bound // divisor) * divisor for bound in bounds)
        return Buckets(lengths, bounds, rows)

    def _notes(self, split: str, sides: tuple[Ids, Ids]) -> tuple[str, ...]:
        both = zip((self.source_tokenizer, self.target_tokenizer), sides, self.languages, strict=True)
        return tuple(
            note for reader, side, of in both for note in ragged.notes(reader, side, self.max_length, f"{split} ({of})")
        )

    def _encode(self, pairs: Sequence[tuple[str, str]]) -> tuple[Ids, Ids]:
        sources, targets = zip(*pairs, strict=True)
        return self.source_tokenizer.encode(sources), self.target_tokenizer.encode(targets)

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base. Sentences have the greatest length: no batch takes more memory."""
        plan = self._plan(np.array([self.max_length]), (self.max_length,), train=True)
        there = self.from_files()
        size = there[0].size if there else self.vocabulary_size
        sizes: dict[str, int | None] = {"outputs": size, "source_vocabulary": None if self.joint else size}
        return Unread(sizes, self.spec, ragged.shapes(plan, self.spec), None, self.assumed)

    def example(self) -> str:
        """The first source sentence of an evaluation split."""
        return self.opened(self.eval_splits[0])[0][0]

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Sentences to translate as one batch {"source": (n, S)}."""
        rows, notes = ragged.one_batch(self.source_tokenizer, items, self.max_length)
        return {"source": rows}, notes
