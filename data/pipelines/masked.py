"""Texts with hidden tokens, for masked language models (1810.04805): windows of tokens, or pairs of segments.

b this host's rows of a batch, T the length of a row, M the most hidden tokens of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Interval

from data import cloze
from data.order import Rows, Tensor, tensorflow, uniform
from data.pipelines import documents, ragged
from data.pipelines.base import Batch, Section, Spec, Split, Unread
from data.pipelines.documents import Text
from data.sources import Example, Feature, Features, Indexed
from data.tokenizer import MASK
from errors import UserError
from models.tokens import BOS, EOS, PAD, UNKNOWN

SPECIAL = (PAD, UNKNOWN, BOS, EOS)
HIDDEN, FOLLOWS, OTHER = range(3)  # what a row's random numbers are for


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    return documents.debug(section)


class Segments(Indexed):
    """A source of pairs of segments: each segment of a document with the one after it.

    Args:
      segments: int (n,) each, those of a document together and in order.
      document: the number of each one's document, int (n,), in order.
    """

    def __init__(self, segments: list[np.ndarray], document: np.ndarray):
        self.segments = segments
        self.begins = np.searchsorted(document, document)  # the first segment of each one's document
        self.ends = np.searchsorted(document, document, side="right")
        self.first = np.flatnonzero(np.arange(1, len(segments) + 1) < self.ends)
        self.size = len(self.first)
        self.features: Features = {"first": Feature("array")}
        self._tensors: tuple[Tensor, ...] | None = None

    def read(self, index: Tensor) -> Example:
        """The places of the first segments, of indices (b,)."""
        return {"first": tensorflow().gather(self._tables()[1], index)}

    def pair(self, first: Tensor, key: tuple[Tensor | int, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The first segment and, half of the time, the one after it; else one of another document. key: see cloze.hide.

        Returns:
          two ragged int32 (b, ...), and int32 (b,): 0 where the second follows, 1 where it does not.
        """
        tf = tensorflow()
        segments, _, begins, ends = self._tables()
        begin, end = tf.gather(begins, first), tf.gather(ends, first)
        others = len(self.segments) - (end - begin)
        other = tf.cast(tf.cast(uniform(*key, OTHER), tf.float64) * tf.cast(others, tf.float64), tf.int64)
        other = tf.minimum(other, others - 1)
        other = tf.where(other < begin, other, other + end - begin)
        drawn = uniform(*key, FOLLOWS) < 0.5
        return (
            tf.gather(segments, first),
            tf.gather(segments, tf.where(drawn, other, first + 1)),
            tf.cast(drawn, tf.int32),
        )

    def _tables(self) -> tuple[Tensor, ...]:
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                lengths = [len(segment) for segment in self.segments]
                rows = tf.RaggedTensor.from_row_lengths(np.concatenate(self.segments).astype(np.int32), lengths)
                self._tensors = rows, *(tf.constant(x, tf.int64) for x in (self.first, self.begins, self.ends))
        return self._tensors

    def describe(self, index: int) -> str:
        """A pair by its place."""
        return f"the pair of segments {index}"


@dataclass(kw_only=True)
class Pipeline(documents.Pipeline):
    """Batches: tokens int32 (b, T), some of them hidden; place int32 (b, M), where those are, 0 after them; target
    int32 (b, M), what they were, −1 after them. Which are hidden is drawn from the seed and the row's place in the
    training, so anew each time; in evaluation from the window's number, so always alike.

    Rows are windows of the documents, as documents.Pipeline has them, each text with BOS ([CLS]) before it and EOS
    ([SEP]) after it: a window that begins within a text has BOS in place of its first token. With `document_mask`,
    segment int32 (b, T) keeps texts apart.

    With `next_sentence` a row is BOS, a segment, EOS, another, EOS: whole lines of a document, of as many tokens as fit
    into half of the row. Then types int32 (b, T) is 0 in the first and 1 in the second, and unrelated int32 (b,) is 1
    where the second is of another document (half of the time), and −1 for rows that fill up a batch.

    Attributes:
      tokenizer: "bpe" or "unigram", or the file or folder of one that is published: see documents.Pipeline. One of its
        tokens is [MASK].
      masked: the share of a row's tokens that are hidden: 80 % of them become [MASK], 10 % a random token.
      whole_words: whether the tokens of a word are hidden together.
      next_sentence: whether rows are pairs of segments.
    """

    tokenizer: str = "bpe"
    masked: Annotated[float, Interval(gt=0, le=0.5)] = 0.15
    whole_words: bool = False
    document_mask: bool = True
    next_sentence: bool = False

    item: ClassVar[str] = f"a text with {MASK}"
    learned: ClassVar[tuple[str, ...]] = ("bpe", "unigram")
    strides: ClassVar[bool] = False

    @property
    def symbols(self) -> tuple[str, ...]:
        """[MASK]."""
        return (MASK,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 8:
            raise UserError(f"config.data.length={self.length} is too short to hide anything: take 8 or more.")

    @cached_property
    def _vocabulary(self) -> cloze.Vocabulary:
        """What hiding tokens needs.

        Raises:
          UserError: the tokenizer has no [MASK].
        """
        tokenizer = self.text_tokenizer
        if tokenizer.mask is None or {"pad", "bos", "eos"} & set(tokenizer.lacks):
            raise UserError(
                f"config.data.tokenizer={self.tokenizer} has not all of [PAD], [CLS], [SEP] and {MASK}, which hidden "
                "tokens need: take another."
            )
        return cloze.vocabulary(tokenizer.pieces(range(tokenizer.size)), SPECIAL, tokenizer.mask)

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs and vocabulary: the tokenizer's, which must have a [MASK]."""
        _ = self._vocabulary
        size = self.text_tokenizer.size
        return {"outputs": size, "vocabulary": size}

    @property
    def _most(self) -> int:
        return max(1, round(self.masked * self.length))

    @property
    def spec(self) -> Spec:
        """tokens, place and target, and what the rows' form adds."""
        row, hidden = ((1, self.length), "int32"), ((1, self._most), "int32")
        spec: Spec = {"tokens": row, "place": hidden, "target": hidden}
        if self.next_sentence:
            return spec | {"types": row, "unrelated": ((1,), "int32")}
        return spec | ({"segment": row} if self.document_mask else {})

    @property
    def steps_per_epoch(self) -> float:
        """Batches that show as many tokens, or all pairs of segments."""
        return self.train.source.size / self.batch_size if self.next_sentence else super().steps_per_epoch

    def prepare(self, split: str, train: bool) -> Text:
        """A split as windows, or as pairs of segments."""
        if not self.next_sentence:
            return super().prepare(split, train)
        texts = self.opened(split)
        segments, document = self._segments(texts)
        if len(set(document)) < 2 or not (source := Segments(segments, np.array(document))).size:
            raise UserError(
                f"{self.name} {split} has {len(set(document))} documents of several lines: config.data.next_sentence "
                "needs two or more, as pairs are of one or of two."
            )
        rows = self.batch_size if train else min(self.eval_batch_size or self.batch_size, source.size)
        plan = Rows(source.size, -(-rows // self.feed.divisor) * self.feed.divisor)
        tokens = sum(map(len, segments))
        size = sum(len(text.encode()) for text in texts)
        return Text(source, plan, tokens=tokens, bytes=size, documents=len(texts))

    def _segments(self, texts: Sequence[str]) -> tuple[list[np.ndarray], list[int]]:
        """Lines, joined up to half a row and cut to it; and the number of each segment's document."""
        most = (self.length - 3) // 2
        segments: list[np.ndarray] = []
        document: list[int] = []
        for number, text in enumerate(texts):
            lines = [line for line in text.splitlines(keepends=True) if line.strip()]
            room = 0
            for ids in self.text_tokenizer.encode(lines):
                for part in (ids[start : start + most] for start in range(0, len(ids) - 1, most)):
                    part = part[part != EOS]
                    if len(part) <= room:
                        segments[-1] = np.concatenate([segments[-1], part])
                    else:
                        segments.append(part)
                        document.append(number)
                        room = most
                    room -= len(part)
        return segments, document

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Rows with hidden tokens."""
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        key = (2 * self.feed.seed + 1, batch["position"]) if train else (0, batch["index"])
        if isinstance(split.source, Segments):
            made = self._paired(batch, split.source, key)
        else:
            is_token = batch["is_token"] & batch["real"][:, None]
            tokens = tf.concat([tf.fill([rows, 1], BOS), batch["tokens"][:, 1:]], axis=1)
            document = batch["document"]
            made = {
                "tokens": tf.where(is_token, tokens, PAD),
                "segment": tf.where(is_token, document - document[:, :1] + 1, 0),
            }
        tokens = tf.ensure_shape(made["tokens"], (rows, self.length))
        made |= cloze.hide(tokens, key, self.masked, self._most, self.whole_words, self._vocabulary)
        return {name: tf.ensure_shape(made[name], (rows, *shape[1:])) for name, (shape, _) in self.spec.items()}

    def _paired(self, batch: Example, source: Segments, key: tuple[Tensor | int, Tensor]) -> Example:
        """Rows of two segments."""
        tf = tensorflow()
        first, second, unrelated = source.pair(batch["first"], key)
        begin = tf.fill(tf.stack([tf.shape(unrelated)[0], 1]), BOS)
        end = tf.fill(tf.shape(begin), EOS)
        ids = tf.concat([begin, first, end, second, end], axis=1)
        column, before = tf.range(self.length, dtype=tf.int64)[None], first.row_lengths()[:, None] + 2
        real = batch["real"]
        return {
            "tokens": tf.where(real[:, None], ids.to_tensor(PAD, shape=(None, self.length)), PAD),
            "types": tf.cast(real[:, None] & (column >= before) & (column < ids.row_lengths()[:, None]), tf.int32),
            "unrelated": tf.where(real, unrelated, -1),
        }

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base."""
        found = super().unread(classes, examples)
        return replace(found, sizes=found.sizes | {"vocabulary": found.sizes["outputs"]})

    def example(self) -> str:
        """The first words of an evaluation split, one of them hidden."""
        first, *others = super().example().split() or [""]
        return " ".join([first, MASK, *others[1:]])

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Texts as one batch {"tokens": (n, S), "place": (n, M)}: place is where [MASK] stands, −1 after the last one.

        Raises:
          UserError: a text without [MASK].
        """
        batch, notes = self.view(items)
        for text, place in zip(items, batch["place"], strict=True):
            if (place < 0).all():
                raise UserError(
                    f"{text[:60]!r} ... has its {MASK} beyond the first {self.length} tokens, which the model reads."
                    if MASK in text
                    else f"{text[:60]!r} has no {MASK}: write it where a word is to be found."
                )
        return batch, notes

    def view(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """The same of any texts."""
        mask = self._vocabulary.mask
        rows, notes = [], []
        for text in ragged.typed(items):
            row = np.array([BOS])
            for number, part in enumerate(self.text_tokenizer.encode(text.split(MASK))):
                row = np.concatenate([*([self._without_space(row), [mask]] if number else [row]), part[:-1]])
            row = np.append(row, EOS)
            if len(row) > self.length:
                notes.append(f"cut from {len(row)} to length={self.length} tokens: {text[:60]!r} ...")
                row = np.append(row[: self.length - 1], EOS)
            if unknown := int((row == UNKNOWN).sum()):
                notes.append(f"{unknown} tokens that are not in the vocabulary in: {text[:60]!r}")
            rows.append(row)
        places = [np.flatnonzero(row == mask) for row in rows]
        return {"tokens": ragged.padded(rows, self.length), "place": ragged.padded(places, self.length, -1)}, notes

    def _without_space(self, ids: np.ndarray) -> np.ndarray:
        """Ids without a last piece that is a space alone: the word that [MASK] hides begins with it."""
        return ids[: -1 if self.text_tokenizer.pieces(ids[-1:])[0] in ("▁", "Ġ") else None]
