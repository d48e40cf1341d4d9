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
from data.order import graph, options, tensorflow
from data.packing import pack
from data.tokenizer import UNKNOWN, Tokenizer
from errors import UserError

Batch = dict[str, np.ndarray]
Ids = list[np.ndarray]


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
      tokenizer, vocabulary_size, byte_fallback: see data/tokenizer.py; learned from the training split, `joint`ly for
        both languages or for each its own.
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
        tokenizer=dict(kind=tokenizer, size=vocabulary_size, byte_fallback=byte_fallback),
        joint=joint,
        packing=packing,
        max_length=max_length,
        buckets=buckets,
        seed=seed,
        host=host,
        hosts=hosts,
        divisor=divisor,
        accumulate=accumulate,
        trained=_trained(known["tokenizers"], folder) if known else None,
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

    @cached_property
    def tokenizers(self) -> tuple[Tokenizer, ...]:
        """One for both languages, or the source's and the target's."""
        if self.trained:
            return self.trained
        sides = list(zip(*self.pairs(self.train_split), strict=True))
        corpora = [[*sides[0], *sides[1]]] if self.joint else sides
        return tuple(Tokenizer.train(corpus, **self.tokenizer) for corpus in corpora)

    @property
    def source_tokenizer(self) -> Tokenizer:
        return self.tokenizers[0]

    @property
    def target_tokenizer(self) -> Tokenizer:
        return self.tokenizers[-1]

    @property
    def sizes(self) -> dict[str, int]:
        return {"outputs": self.target_tokenizer.size, "source_vocabulary": self.source_tokenizer.size}

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
    def example(self) -> dict[str, tuple[tuple[int, ...], str]]:
        names = ("source", "target") + (("source_segment", "target_segment") if self.packing else ())
        return {name: ((1, 8), "int32") for name in names}

    @property
    def shapes(self) -> list[tuple[float, dict[str, tuple[tuple[int, ...], str]]]]:
        plan = self._train.plan
        return [
            (batches / plan.steps, {name: ((int(rows), int(length)), "int32") for name in self.example})
            for batches, rows, length in zip(plan.batches, plan.rows, plan.bounds, strict=True)
            if batches
        ]

    def describe(self) -> list[str]:
        train, plan = self._train, self._train.plan
        room = int((plan.batches * plan.rows * plan.bounds).sum()) * 2
        what = "packed" if self.packing else "in buckets of " + ", ".join(map(str, plan.bounds))
        lines = [
            f"{train.kept:,} pairs {'-'.join(self.languages)}, {train.tokens[1]:,} target tokens of a vocabulary of "
            f"{self.target_tokenizer.size:,}; {plan.steps:,} batches of about {self.batch_tokens:,} tokens, {what}, "
            f"{1 - sum(train.tokens) / room:.1%} padding."
        ]
        if train.empty or train.long:
            lines.append(
                f"Left out of {train.kept + train.empty + train.long:,} training pairs: {train.empty:,} with an empty side, "
                f"{train.long:,} longer than max_length={self.max_length}."
            )
        for split in self.eval_splits:
            if split in self._evaluated:
                lines += self._evaluated[split].notes
        return lines

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
        pairs = self.pairs(self.train_split)
        sides = self._encode(pairs)
        lengths = np.array([[len(a), len(b)] for a, b in zip(*sides, strict=True)]).max(1)
        empty = np.array([not a.strip() or not b.strip() for a, b in pairs])
        kept = np.flatnonzero(~empty & (lengths <= self.max_length))
        if not kept.size:
            raise UserError(
                f"no pair of {self.train_split} is left: {empty.sum():,} have an empty side and the others are longer "
                f"than config.data.max_length={self.max_length}."
            )
        sides = tuple([side[i] for i in kept] for side in sides)
        tokens = tuple(sum(map(len, side)) for side in sides)
        columns: dict[str, Ids] = dict(zip(("source", "target"), sides, strict=True))
        if self.packing:
            columns = pack(sides[0], sides[1], self.max_length, self.seed)
            row_lengths = np.full(len(columns["source"]), self.max_length)
            bounds: tuple[int, ...] = (self.max_length,)
        else:
            row_lengths = lengths[kept]
            bounds = boundaries(row_lengths, self.buckets)
        plan = self._plan(row_lengths, bounds, self.batch_tokens, self.divisor * self.accumulate)
        long = len(pairs) - int(empty.sum()) - kept.size
        return _Train(plan, columns, kept.size, int(empty.sum()), long, (tokens[0], tokens[1]))

    def _plan(self, lengths: np.ndarray, bounds: tuple[int, ...], tokens: int, divisor: int) -> Buckets:
        rows = tuple(max(1, tokens // bound // divisor) * divisor for bound in bounds)
        return Buckets(lengths, bounds, rows)

    @cached_property
    def _evaluated(self) -> dict[str, "_Eval"]:
        return {}

    def _split(self, split: str) -> "_Eval":
        """An evaluation split as ids. Nothing is left out."""
        if split in self._evaluated:
            return self._evaluated[split]
        notes, sides = [], self._encode(self.pairs(split))
        for side, language in zip(sides, self.languages, strict=True):
            if unknown := sum(int((ids == UNKNOWN).sum()) for ids in side):
                notes.append(f"{split}: {unknown:,} {language} tokens that the tokenizer never saw.")
            if long := sum(len(ids) > self.max_length for ids in side):
                notes.append(f"{split}: {long:,} {language} sentences cut to max_length={self.max_length} tokens.")
        sides = tuple([cut(ids, self.max_length) for ids in side] for side in sides)
        lengths = np.array([max(len(a), len(b)) for a, b in zip(*sides, strict=True)])
        plan = self._plan(lengths, boundaries(lengths, self.buckets), self.eval_batch_tokens, self.divisor)
        self._evaluated[split] = _Eval(plan, dict(zip(("source", "target"), sides, strict=True)), notes)
        return self._evaluated[split]

    def _encode(self, pairs: Sequence[tuple[str, str]]) -> tuple[Ids, Ids]:
        sources, targets = zip(*pairs, strict=True)
        return self.source_tokenizer.encode(sources), self.target_tokenizer.encode(targets)

    def train_batches(self, start: int) -> Iterator[Batch]:
        """Training batches from step `start` (0 is the first) on, for ever."""
        return self._batches(self._train.plan, self._train.columns, start, self.seed)

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Every pair of a split once, short ones first; rows that fill up a batch are empty and have index -1."""
        split_ = self._split(split)
        return self._batches(split_.plan, split_.columns, 0, None)

    def _batches(self, plan: Buckets, columns: dict[str, Ids], start: int, seed: int | None) -> Iterator[Batch]:
        tf = tensorflow()
        table = {
            name: tf.RaggedTensor.from_row_lengths(np.concatenate(side).astype(np.int32), [len(ids) for ids in side])
            for name, side in columns.items()
        }

        def batch(step: Any) -> dict[str, Any]:
            length, index, real = plan.batch(step, seed, self.host, self.hosts)
            out = {}
            for name, ragged in table.items():
                rows = tf.gather(ragged, index).to_tensor(shape=tf.stack([tf.constant(-1, tf.int64), length]))
                out[name] = tf.where(real[:, None], rows, 0)
            if seed is None:
                out["index"] = tf.where(real, tf.cast(index, tf.int32), -1)
            return out

        stop = np.iinfo(np.int64).max if seed is not None else plan.steps
        batches = tf.data.Dataset.range(start, stop).map(graph(batch), num_parallel_calls=2, deterministic=True)
        return batches.prefetch(2).with_options(options()).as_numpy_iterator()

    def batch_of(self, sources: Sequence[str], multiple: int = 8) -> tuple[Batch, list[str]]:
        """Sentences to translate as one batch {"source": (n, S)}, S a multiple; and what was done to them, as lines."""
        ids, notes = self.source_tokenizer.encode(sources), []
        for text_, sentence in zip(sources, ids, strict=True):
            if len(sentence) > self.max_length:
                notes.append(f"cut from {len(sentence)} to max_length={self.max_length} tokens: {text_[:60]!r} ...")
            if unknown := int((sentence == UNKNOWN).sum()):
                notes.append(f"{unknown} tokens that the tokenizer never saw in: {text_[:60]!r}")
        ids = [cut(sentence, self.max_length) for sentence in ids]
        length = -(-max(map(len, ids)) // multiple) * multiple
        return {"source": np.stack([np.pad(sentence, (0, length - len(sentence))) for sentence in ids])}, notes


@dataclass(frozen=True)
class _Train:
    plan: Buckets
    columns: dict[str, Ids]
    kept: int
    empty: int
    long: int
    tokens: tuple[int, int]


@dataclass(frozen=True)
class _Eval:
    plan: Buckets
    columns: dict[str, Ids]
    notes: list[str]


def cut(ids: np.ndarray, most: int) -> np.ndarray:
    """The first `most` ids, the last of which stays EOS."""
    return ids if len(ids) <= most else np.append(ids[: most - 1], ids[-1:])


def _trained(digests: dict[str, str], folder: Path) -> tuple[Tokenizer, ...]:
    """The tokenizers that a run was trained with, from its workdir."""
    found = []
    for name, digest in digests.items():
        try:
            tokenizer = Tokenizer((folder / name).read_bytes())
        except FileNotFoundError:
            raise UserError(f"{folder} has lost its {name}: put it back; the weights mean nothing without it.") from None
        if tokenizer.digest != digest:
            raise UserError(
                f"{folder / name} is not the tokenizer that this run was trained with ({tokenizer.digest} there, {digest} "
                "in config.json): put the right one back."
            )
        found.append(tokenizer)
    return tuple(found)
