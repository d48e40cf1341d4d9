"""Whole texts for language models: windows of tokens. Each token is predicted from those before it.

b this host's rows of a batch, T the length of a window.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from data import fingerprint, text
from data.characters import Characters
from data.order import Rows, tensorflow
from data.pipelines import ragged
from data.pipelines.base import Base, Batch, Known, Section, Spec, Split, Splits, Unread, check_batch, of_rows
from data.sources import Example
from data.tokenizer import Reader, Tokenizer
from data.windows import Starts, Windows
from errors import UserError
from lookup import Size
from models.tokens import BOS, EOS

NOTHING = -1  # the target where none is scored, and what comes after a prompt
COVERAGE = 0.9995  # of the characters, by subwords; the others are spelled as bytes


def debug(section: Section) -> dict[str, int]:
    """What a `:debug` variant changes."""
    return {
        "batch_size": 16,
        "eval_batch_size": 64,
        "length": min(section.get("length") or 64, 64),
        "vocabulary_size": 512,
    }


@dataclass(frozen=True)
class Text(Split):
    """A split of text.

    Attributes:
      tokens: how many there are, special ones counted.
      bytes: UTF-8 bytes of the text that the predicted ones spell.
      documents: how many there are.
    """

    tokens: int = 0
    bytes: int = 0
    documents: int = 0


@dataclass(kw_only=True)
class Pipeline(Base[list[str], Text]):
    """Batches: tokens int32 (b, T); target int32 (b, T), the token that follows each; where `document_mask` is set,
    segment int32 (b, T), the number 1, 2, ... of each token's document in its window, 0 for padding.

    Training windows begin at random places, drawn from the seed and the step. Evaluation predicts every token of a
    split once, in windows that do not overlap or, with `eval_stride`, do. A target that there is not (beyond the end,
    across documents, or another window's) is −1.

    With special ids every document is BOS, its text, EOS, and the tokens of a text are all predicted. Without, ids
    begin at 0, documents run into one another, and the first token of a split is not predicted: as nanoGPT has it, with
    65 outputs for Shakespeare's characters.

    Attributes:
      source: "files" for files of text, "tfds" for a set with a feature `text` or `sentence`, "python" for the source
        of Python's standard library: a module of data/text that defines `documents`.
      name: files, folders and globs with commas between; a set; packages of the library, "" for all of it.
      tokenizer: "char" and "byte" keep text exactly, as "bpe" and "unigram" do here: see data/characters.py. Or the
        file or folder of one that is published: see data/published.py.
      vocabulary_size: ids of a subword tokenizer, the special ones included; of "char" the most.
      special: whether ids of padding, unknown characters and a document's ends come before the others. A published
        tokenizer that has no id for a text's beginning (GPT-2's) is as without, but that EOS ends each document.
      document_mask: whether attention is kept within a document: batches have `segment`, and no target is across
        documents.
      length: tokens of a window, T.
      eval_stride: tokens from one evaluation window to the next, at most T; 0 for T. A smaller one gives every token
        but the first T at least T - eval_stride tokens before it, and takes T / eval_stride times as long.
      batch_size: windows of a global training batch.
      eval_batch_size: of a global evaluation batch; 0 for the same as training.
    """

    source: str = "files"
    name: str = ""
    eval_splits: Splits = ("validation",)
    tokenizer: str = "char"
    vocabulary_size: ragged.Vocabulary = 8000
    special: bool = True
    document_mask: bool = False
    length: Size = 256
    eval_stride: NonNegativeInt = 0
    batch_size: PositiveInt
    eval_batch_size: NonNegativeInt = 0

    item: ClassVar[str] = "a prompt"
    learned: ClassVar[tuple[str, ...]] = ("char", "byte", "bpe", "unigram")
    strides: ClassVar[bool] = True  # whether windows of an evaluation may overlap, each token scored in one of them

    def __post_init__(self) -> None:
        check_batch(self.batch_size, self.feed)
        if not self.special and self.tokenizer in ("bpe", "unigram"):
            raise UserError(
                f"config.data.special=False is for the tokenizers 'char' and 'byte': {self.tokenizer!r} has special "
                "ids."
            )
        if self.eval_stride > self.length:
            raise UserError(
                f"config.data.eval_stride={self.eval_stride} would leave tokens out: it is at most "
                f"config.data.length={self.length}."
            )
        if 0 < self.eval_stride < self.length and not self.strides:
            raise UserError(
                f"config.data.eval_stride={self.eval_stride} is for language models: here overlapping windows would "
                "score a text several times. Leave it 0."
            )
        make = Characters if self.tokenizer in ("char", "byte") else Tokenizer
        self._trained = ragged.trained(self.feed.known, self.feed.folder, self.tokenizer, self.learned, make)

    @property
    def _begins(self) -> bool:
        """Whether every document begins with BOS."""
        return self.special and not {"bos", "eos"} & set(self.text_tokenizer.lacks)

    @property
    def _ends(self) -> bool:
        """Whether every document ends with EOS, of a vocabulary that has one."""
        return True

    @property
    def symbols(self) -> tuple[str, ...]:
        """How a subword tokenizer spells what stands for hidden tokens."""
        return ()

    @cached_property
    def text_tokenizer(self) -> Reader:
        """That of the run, the one that is named, or one learned from the training split.

        Without special ids there is none for an unknown character: the evaluation splits give theirs too.
        """
        if there := self._trained or ragged.from_files(self.tokenizer, self.learned):
            return ragged.only(there, self.tokenizer)
        if self.tokenizer == "byte":
            return Characters.train([], "byte", special=self.special)
        if self.tokenizer == "char":
            splits = (self.train_split,) if self.special else (self.train_split, *self.eval_splits)
            texts = (document for split in splits for document in self.opened(split))
            return Characters.train(texts, "char", self.vocabulary_size, self.special)
        lines = (line for document in self.opened(self.train_split) for line in document.splitlines(keepends=True))
        kind = cast(ragged.Kind, self.tokenizer)
        return ragged.learn(lines, kind, self.vocabulary_size, True, COVERAGE, exact=True, symbols=self.symbols)

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizer."""
        return (self.text_tokenizer,)

    @property
    def sizes(self) -> dict[str, int | None]:
        """outputs: the vocabulary."""
        return {"outputs": self.text_tokenizer.size}

    @property
    def known(self) -> Known:
        """The tokenizer's digest."""
        return {"tokenizers": {"tokenizer.model": self.text_tokenizer.digest}}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """The documents."""
        return fingerprint.of_texts(self.opened(self.train_split))

    @property
    def files(self) -> dict[str, bytes]:
        """The tokenizer."""
        return {"tokenizer.model": self.text_tokenizer.model}

    @property
    def spec(self) -> Spec:
        """tokens and target, and segment where documents are kept apart."""
        names = ("tokens", "target") + (("segment",) if self.document_mask else ())
        return dict.fromkeys(names, ((1, self.length), "int32"))

    @property
    def shapes(self) -> list[tuple[float, Spec]]:
        """All batches have one shape."""
        return [(1.0, of_rows(self.spec, self.batch_size))]

    @property
    def steps_per_epoch(self) -> float:
        """As many batches as hold the tokens of the split."""
        return self.train.tokens / (self.batch_size * self.length)

    def bytes_of(self, split: str) -> int:
        """UTF-8 bytes of the text that these tokens spell, for bits per byte."""
        return self.split(split).bytes

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return self.text_tokenizer.decode(ids)

    def describe(self) -> list[str]:
        """How much there is, and what is unknown."""
        train = self.train
        return [
            f"{train.documents:,} documents of {train.bytes:,} bytes, {train.tokens:,} tokens of a vocabulary of "
            f"{self.text_tokenizer.size:,}; batches of {self.batch_size} windows of {self.length} tokens.",
            *super().describe(),
        ]

    def open(self, split: str) -> list[str]:
        """The texts of a split."""
        return text.documents(self.source, self.name, split, self.data_dir)

    def prepare(self, split: str, train: bool) -> Text:
        """A split as one long row of tokens, and its windows."""
        documents = self.opened(split)
        ids = self.text_tokenizer.encode(documents)
        if not self._ends and "eos" not in self.text_tokenizer.lacks:
            ids = [one[:-1] for one in ids]
        begin = [BOS] if self._begins else []
        starts = np.cumsum([0] + [len(i) + len(begin) for i in ids])[:-1]
        dtype = np.min_scalar_type(self.text_tokenizer.size) if self.text_tokenizer.size < 2**16 else np.dtype(np.int32)
        tokens = np.concatenate([part for i in ids for part in (np.array(begin, dtype), i.astype(dtype))])
        least = self.length + 1 if train else 2
        if len(tokens) < least:
            raise UserError(
                f"{self.name or self.source} {split} has {len(tokens):,} tokens: config.data.length={self.length} "
                f"needs {least:,} or more."
            )
        if train and self.batch_size > len(tokens) - self.length:
            raise UserError(
                f"config.data.batch_size={self.batch_size} is more than the {len(tokens) - self.length:,} windows "
                "of the training split: lower it."
            )
        # Without special ids nothing comes before the first token, or before that of a document that is kept apart.
        first = np.array([], int) if self._begins else starts if self.document_mask else starts[:1]
        lost = sum(1 if self.tokenizer == "byte" else len(self.decode([i]).encode()) for i in tokens[first].tolist())
        notes = []
        if unknown := self.text_tokenizer.unknown(tokens):
            notes.append(f"{split}: {unknown:,} tokens that are not in the vocabulary.")
        stride = self.eval_stride or self.length
        source = Windows(tokens, starts, self.length, *((1, self.length) if train else (stride, stride)))
        return Text(
            source=source,
            plan=self._plan(source, train),
            notes=tuple(notes),
            tokens=len(tokens),
            bytes=sum(len(document.encode()) for document in documents) - lost,
            documents=len(documents),
        )

    def _plan(self, source: Windows, train: bool) -> Rows | Starts:
        if train:
            count = len(source.tokens)
            return Starts(count - self.length, self.batch_size, max(1, count // (self.batch_size * self.length)))
        rows = min(self.eval_batch_size or self.batch_size, source.size)
        return Rows(source.size, -(-rows // self.feed.divisor) * self.feed.divisor)

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Ids where there are tokens, padding elsewhere."""
        tf = tensorflow()
        rows = split.plan.most // self.feed.hosts
        real = batch["real"][:, None]
        is_token, is_target = batch["is_token"] & real, batch["is_target"] & real
        if self._begins:
            is_target &= batch["target"] != BOS  # which always comes after EOS
        elif self.document_mask:
            is_target &= ~batch["ends"]
        document = batch["document"]
        out = {
            "tokens": tf.where(is_token, batch["tokens"], 0),
            "target": tf.where(is_target, batch["target"], NOTHING),
            "segment": tf.where(is_token, document - document[:, :1] + 1, 0),
        }
        return {name: tf.ensure_shape(out[name], (rows, self.length)) for name in self.spec}

    def unread(self, classes: int | None, examples: int | None) -> Unread:
        """See Base."""
        there = ragged.from_files(self.tokenizer, self.learned)
        size = there[0].size if there else self.vocabulary_size
        size = 2**8 + (EOS + 1) * self.special if self.tokenizer == "byte" else size
        return Unread({"outputs": size}, self.spec, self.shapes, None, ("a full vocabulary",))

    def example(self) -> str:
        """The first words of an evaluation split."""
        return " ".join(self.opened(self.eval_splits[0])[0][:400].split()[:4])

    def read(self, items: Sequence[str]) -> tuple[Batch, list[str]]:
        """Prompts as one batch {"tokens": (n, S)}, −1 after each; S is a multiple of 8 or `length`.

        With special ids a prompt begins with BOS. Of a prompt that is too long the end is kept.
        """
        rows, notes = [], []
        ends = "eos" not in self.text_tokenizer.lacks
        for prompt, ids in zip(items, self.text_tokenizer.encode(ragged.typed(items)), strict=True):
            row = np.concatenate([np.array([BOS] if self._begins else [], np.int32), ids[:-1] if ends else ids])
            if not len(row) and ends:
                row = ids
                notes.append("an empty prompt: the text begins after the end of another.")
            elif not len(row):
                row = self._line_feed()
                notes.append("an empty prompt: the text begins with a new line.")
            if len(row) > self.length:
                notes.append(f"the last {self.length} of {len(row)} tokens are kept: ... {prompt[-60:]!r}")
            if unknown := self.text_tokenizer.unknown(row):
                notes.append(f"{unknown} tokens that are not in the vocabulary in: {prompt[:60]!r}")
            rows.append(row[-self.length :])
        longest = min(-(-max(map(len, rows)) // ragged.MULTIPLE) * ragged.MULTIPLE, self.length)
        padded = [np.pad(row, (0, longest - len(row)), constant_values=NOTHING) for row in rows]
        return {"tokens": np.stack(padded).astype(np.int32)}, notes

    def _line_feed(self) -> np.ndarray:
        """A line feed, or the first id where the vocabulary has none."""
        try:
            return self.text_tokenizer.encode(["\n"])[0]
        except UserError:
            return np.zeros(1, np.int32)
