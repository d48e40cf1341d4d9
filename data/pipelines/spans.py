"""Texts with hidden spans, for T5 (1910.10683): windows of tokens, and what is hidden of them.

b this host's rows of a batch, W the tokens of a window, S of an input, T of a target.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Interval

from data import spans
from data.order import tensorflow
from data.pipelines import documents, ragged
from data.pipelines.base import Batch, Section, Spec, Split, Unread
from data.sources import Example
from errors import UserError
from lookup import Size
from models.tokens import BOS, EOS, PAD, SENTINEL, SENTINELS


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    return documents.debug(section)


@dataclass(kw_only=True)
class Pipeline(documents.Pipeline):
    """Batches: source int32 (b, S), a window of text with sentinels for its hidden spans, and target int32 (b, T), the
    spans, a sentinel before each; EOS at the end of both, 0 after it. Which are hidden is drawn from the seed and the
    row's place in the training, so anew each time; in evaluation from the window's number, so always alike.

    Attributes:
      length: tokens of a window, W. 568 of them make inputs of 512 and targets of 114, as T5 was trained.
      hidden: the share of them that is hidden.
      span: mean length of a hidden span.
      sentinels: how many tokens stand for hidden spans. A subword tokenizer that is learned has them within its
        `vocabulary_size`, and one that is published for T5 has its own. To "char" and "byte" they are added, the first
        span's as the last id.
    """

    length: Size = 568
    hidden: Annotated[float, Interval(gt=0, lt=1)] = 0.15
    span: Annotated[float, Interval(ge=1)] = 3.0
    sentinels: Size = 100

    item: ClassVar[str] = "a text with <extra_id_0>, <extra_id_1> ... for what is to be filled in"
    strides: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.special:
            raise UserError("config.data.special=False leaves no ids for padding and ends: hidden spans need them.")
        if self.document_mask:
            raise UserError("config.data.document_mask keeps texts apart in windows for language models only.")
        if self.length < 2:
            raise UserError(f"config.data.length={self.length} leaves nothing to hide: take 2 or more.")
        self._check(self.sentinels)

    def _check(self, sentinels: int) -> None:
        if self._lengths.spans > sentinels:
            raise UserError(
                f"a window of config.data.length={self.length} tokens has {self._lengths.spans} hidden spans, for "
                f"which {sentinels} sentinels are too few: raise config.data.sentinels, or lower the length."
            )

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sentinels."""
        return tuple(map(SENTINEL.format, range(self.sentinels)))

    @property
    def _ends(self) -> bool:
        """Where there is a BOS to put in its place: EOS ends sources and targets and nothing else."""
        return self._begins

    @property
    def _lengths(self) -> spans.Lengths:
        return spans.lengths(self.length, self.hidden, self.span)

    @cached_property
    def _sentinels(self) -> np.ndarray:
        """Their ids, that of the first span first, int32.

        Raises:
          UserError: a tokenizer without ids for padding and ends, or with too few sentinels.
        """
        tokenizer = self.text_tokenizer
        if {"pad", "eos"} & set(tokenizer.lacks):
            raise UserError(f"config.data.tokenizer={self.tokenizer} has no ids for padding and ends: take another.")
        # mT5's begin with the mark of a space.
        pieces = map(partial(re.fullmatch, f"▁?{SENTINELS}"), tokenizer.pieces(range(tokenizer.size)))
        found = sorted((int(match[1]), i) for i, match in enumerate(pieces) if match)
        if not found:
            return np.arange(tokenizer.size, tokenizer.size + self.sentinels, dtype=np.int32)[::-1].copy()
        self._check(len(found))
        return np.array([i for _, i in found], np.int32)

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the tokenizer's vocabulary and the sentinels."""
        return {"outputs": max(self.text_tokenizer.size, int(self._sentinels.max()) + 1)}

    @property
    def spec(self) -> Spec:
        """source and target."""
        return {"source": ((1, self._lengths.source), "int32"), "target": ((1, self._lengths.target), "int32")}

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to EOS, with sentinels as a person writes them."""
        numbers = {token: n for n, token in enumerate(self._sentinels.tolist())}
        parts: list[list[int]] = [[]]
        found = []
        for token in itertools.takewhile(lambda token: token != EOS, map(int, ids)):
            if token in numbers:
                found.append(SENTINEL.format(numbers[token]))
                parts.append([])
            else:
                parts[-1].append(token)
        # After some text, as the space is kept then that a part begins with.
        before = self.text_tokenizer.encode(["a"])[0][:-1].tolist()
        length = len(self.text_tokenizer.decode(before))
        texts = (self.text_tokenizer.decode(before + part)[length:] for part in parts[1:])
        first = self.text_tokenizer.decode(parts[0])
        return first + "".join(sentinel + text for sentinel, text in zip(found, texts, strict=True))

    def describe(self) -> list[str]:
        """What is hidden, and how much text there is."""
        source, target, count = self._lengths
        line = f"{count} spans of each window are hidden: inputs of {source} tokens, targets of {target}."
        return [*super().describe(), line]

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Windows with hidden spans."""
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        there = batch["is_token"] & batch["real"][:, None]
        count = tf.reduce_sum(tf.cast(there, tf.int32), axis=1)
        key = (2 * self.feed.seed + 1, batch["position"]) if train else (0, batch["index"])
        tokens = tf.ensure_shape(batch["tokens"], (rows, self.length))
        if self._begins:  # a text's end and the next one's beginning look alike
            tokens = tf.where(tokens == EOS, BOS, tokens)
        made = spans.hide(tokens, count, key, self.hidden, self.span, self._sentinels)
        return {name: tf.ensure_shape(x, (rows, x.shape[1])) for name, x in zip(self.spec, made, strict=True)}

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base."""
        found = super().unread(classes, examples)
        if self.tokenizer in ("char", "byte"):
            return replace(found, sizes={"outputs": (found.sizes["outputs"] or 0) + self.sentinels})
        return found if self.tokenizer in self.learned else replace(found, sizes=self.sizes)

    def pieces(self, entry: str, ids: Iterable[int]) -> list[str]:
        """See Base."""
        numbers = {token: n for n, token in enumerate(self._sentinels.tolist())}
        found: list[str] = []
        for token in map(int, ids):
            found += [SENTINEL.format(numbers[token])] if token in numbers else super().pieces(entry, [token])
        return found

    def example(self) -> str:
        """The first words of an evaluation split, one of them hidden."""
        first, *others = super().example().split() or [""]
        return " ".join([first, "<extra_id_0>", *others[1:]])

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Texts as one batch {"source": (n, S)}, with <extra_id_0>, <extra_id_1> ... where spans are to be filled in.

        Raises:
          UserError: a text without any, or one that there is no id for.
        """
        for text in items:
            if not re.search(SENTINELS, text):
                raise UserError(f"{text[:60]!r} has no <extra_id_0>: write it where something is to be filled in.")
        return self.view(items)

    def view(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """The same of any texts."""
        rows = []
        for text in ragged.typed(items):
            parts = re.split(SENTINELS, text)  # text, number, text, number, ... text
            numbers = [int(number) for number in parts[1::2]]
            if max(numbers, default=0) >= len(self._sentinels):
                raise UserError(f"<extra_id_{max(numbers)}> is none of the {len(self._sentinels)} sentinels.")
            ids = [ids[:-1] for ids in self.text_tokenizer.encode(parts[::2])]
            spelled = zip(self._sentinels[numbers], ids[1:], strict=True)
            row = [*ids[0], *(i for sentinel, part in spelled for i in (sentinel, *part)), EOS]
            if len(row) > self._lengths.source:
                raise UserError(f"{text[:60]!r} ... is {len(row)} tokens, and the model reads {self._lengths.source}.")
            rows.append(row)
        longest = -(-max(map(len, rows)) // ragged.MULTIPLE) * ragged.MULTIPLE
        return {"source": np.array([row + [PAD] * (longest - len(row)) for row in rows], np.int32)}, []
