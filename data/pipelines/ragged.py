"""What kinds of text share: tokenizers that stay with a run, sentences that are too long, and batches of sentences.

n sentences, b this host's rows of a batch, S its padded length.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias, TypeVar, cast

import numpy as np
from annotated_types import Interval
from pydantic import PositiveInt

import storage
from data import published
from data.buckets import Buckets
from data.order import Tensor, tensorflow
from data.pipelines.base import Base, Known, Opened, Spec, Split, of_rows
from data.published import Published
from data.sources import Example, Feature, Features, Indexed
from data.tokenizer import Normalisation, Reader, Tokenizer, digest_of
from errors import UserError, nearest, shown

Ids: TypeAlias = list[np.ndarray]
Kind: TypeAlias = Literal["bpe", "unigram", "char", "word"]

Vocabulary = Annotated[int, Interval(ge=5, le=2**22)]
NON_JOINER = "\u200c"
NOTED = 3  # texts that are named, of a kind of note
MULTIPLE = 8  # a user's batch is padded to a multiple of it, so that few shapes are compiled


class Sentences(Indexed):
    """A source of sentences of ids, and of numbers that go with them.

    Args:
      ids: n sentences each, int32; sentence i of all of them is one example.
      numbers: int32 or float32 (n,).
    """

    def __init__(self, ids: Mapping[str, Ids], numbers: Mapping[str, np.ndarray] | None = None):
        self._ids, self._numbers = ids, numbers or {}
        self.size = len(next(iter(ids.values())))
        self.features: Features = {name: Feature("array", (None,)) for name in ids} | {
            name: Feature("array") for name in self._numbers
        }
        self._tensors: dict[str, Tensor] | None = None

    def read(self, index: Tensor) -> Example:
        """The sentences of indices (b,), ragged."""
        tf = tensorflow()
        if self._tensors is None:
            with tf.init_scope():
                self._tensors = {
                    name: tf.RaggedTensor.from_row_lengths(np.concatenate(ids).astype(np.int32), [len(i) for i in ids])
                    for name, ids in self._ids.items()
                } | {
                    name: tf.constant(numbers, tf.float32 if numbers.dtype.kind == "f" else tf.int32)
                    for name, numbers in self._numbers.items()
                }
        return {name: tf.gather(tensor, index) for name, tensor in self._tensors.items()}

    def labels(self) -> np.ndarray | None:
        """See data.sources.Labelled."""
        return self._numbers.get("label")

    def describe(self, index: int) -> str:
        """An example by its place."""
        return f"sentence {index}"


@dataclass(frozen=True)
class Padded(Split):
    """A split of sentences.

    Attributes:
      plan: which of them each batch holds, padded to which length.
    """

    plan: Buckets


P = TypeVar("P", bound=Padded)


@dataclass(kw_only=True)
class Ragged(Base[Opened, P]):
    """Kinds of sentences: each batch has sentences of like length and is padded to one of a few lengths.

    Attributes:
      tokenizer: how text becomes tokens: "bpe", "unigram", "char" or "word", learned from the training split (see
        data/tokenizer.py); or the file or folder of one that is published (see data/published.py), to which the next
        four keys do not apply.
      vocabulary_size: ids of a tokenizer, its four special ones included.
      normalisation: what is done to characters first. "nmt_nfkc" makes one of those that look alike, and a space of the
        zero-width non-joiner; "nfkc" keeps that, as Persian needs; "identity" changes nothing but white space.
      byte_fallback: spell a character that is not in the vocabulary as its UTF-8 bytes, 256 further ids.
      coverage: share of the characters of the training text that the alphabet must hold; 0.9995 for Chinese and
        Japanese.
      max_length: the most tokens of a sentence, its end included. Longer ones are cut, counted and said.
      buckets: padded lengths, which are chosen so that the least is padding.
    """

    tokenizer: str = "bpe"
    vocabulary_size: Vocabulary = 8000
    normalisation: Normalisation = "nmt_nfkc"
    byte_fallback: bool = False
    coverage: Annotated[float, Interval(ge=0.98, le=1)] = 1.0  # sentencepiece's own limits
    max_length: Annotated[int, Interval(ge=2, le=2**20)] = 128
    buckets: PositiveInt = 6
    _respelled: int = field(default=0, init=False, repr=False)  # texts that the tokenizer gives back in other words

    learned: ClassVar[tuple[str, ...]] = ("bpe", "unigram", "char", "word")

    @property
    def assumed(self) -> tuple[str, ...]:
        """Of a data set that is not here: see Unread."""
        return (f"every sentence taken as {self.max_length} tokens long, and a full vocabulary",)

    @property
    def shapes(self) -> list[tuple[float, Spec]]:
        """One for each bucket."""
        return shapes(self.train.plan, self.spec)

    def largest(self, split: str) -> Spec:
        """That of the last bucket."""
        plan = self.split(split).plan
        return of_rows(self.spec, int(plan.rows[-1]), int(plan.bounds[-1]))

    def learn(self, texts: Iterable[str]) -> Tokenizer:
        """A tokenizer of these texts. Errors speak of the keys of config.data."""
        texts = list(texts)
        self._respelled += self.normalisation == "nmt_nfkc" and sum(NON_JOINER in text for text in texts)
        settings = (cast(Kind, self.tokenizer), self.vocabulary_size, self.byte_fallback, self.coverage)
        return learn(texts, *settings, normalisation=self.normalisation)

    def from_files(self) -> tuple[Published, ...]:
        """The tokenizers that `tokenizer` names, of a run that is new; none where one is to be learned."""
        if self.normalisation != "nmt_nfkc" and self.tokenizer not in self.learned:
            raise UserError(
                f"config.data.normalisation={self.normalisation!r} is for tokenizers that are learned here: "
                f"{self.tokenizer} says itself how it normalises."
            )
        return from_files(self.tokenizer, self.learned, ("pad", "eos"))

    def describe(self) -> list[str]:
        """See Base."""
        lines = super().describe()
        if self._respelled:
            lines.append(
                f"{self._respelled:,} texts have zero-width non-joiners, which become spaces: to keep them, set "
                "--config.data.normalisation=nfkc or identity."
            )
        return lines

    def finish(self, batch: Example, split: Split, train: bool) -> Example:
        """Sentences padded with 0 to the length of their bucket; rows that are not real are empty."""
        tf = tensorflow()
        shape = tf.stack([tf.constant(-1, tf.int64), batch["length"]])
        out = {}
        for name in split.source.features:
            entry = batch[name]
            if isinstance(entry, tf.RaggedTensor):
                out[name] = tf.where(batch["real"][:, None], entry.to_tensor(shape=shape), 0)
            else:
                out[name] = tf.where(batch["real"], entry, 0)
        return out


def learn(
    texts: Iterable[str],
    kind: Kind,
    size: int,
    byte_fallback: bool,
    coverage: float,
    exact: bool = False,
    normalisation: Normalisation = "nmt_nfkc",
    symbols: Sequence[str] = (),
) -> Tokenizer:
    """Tokenizer.train, whose errors speak of the keys of config.data."""
    try:
        return Tokenizer.train(texts, kind, size, byte_fallback, coverage, exact, normalisation, symbols)
    except UserError as error:
        message = re.sub(r"\bsize=", "config.data.vocabulary_size=", str(error))
        raise UserError(re.sub(r"\bcoverage\b", "config.data.coverage", message)) from None


def from_files(name: str, learned: Sequence[str], needs: Sequence[str] = ()) -> tuple[Published, ...]:
    """The published tokenizers that config.data.tokenizer names; none where it names one of those `learned` here.

    Args:
      needs: the special ids that this kind of data cannot be without.

    Raises:
      UserError: there is no such file, or it has no such ids.
    """
    if name in learned:
        return ()
    if not name:
        raise UserError(
            "config.data.tokenizer names nothing: set --config.init_from=FOLDER where the config takes the tokenizer "
            f"of that, or name a file, a folder, or one that is learned: {', '.join(learned)}."
        )
    if not storage.here(name).exists():
        raise UserError(
            f"config.data.tokenizer={name!r} is no file or folder, nor one that is learned: {nearest(name, learned)}"
        )
    found = published.read(name)
    if missing := [role for role in needs if role in found[0].lacks]:
        raise UserError(
            f"config.data.tokenizer={name} has no special id for {missing[0]!r}, which this kind of data needs: say "
            f'which token it is in tokenizer_config.json beside it, {{"{published.KEYS[missing[0]][0]}": "..."}}.'
        )
    return found


def trained(
    known: Known | None, folder: Path, name: str, learned: Sequence[str], make: Callable[[bytes], Reader] = Tokenizer
) -> tuple[Reader, ...]:
    """The tokenizers of a trained run; none of a new one.

    Args:
      known: what the run knows of its data.
      name: its config.data.tokenizer.
      learned: the names of those that `make` makes from their bytes; others are published.
    """
    return load(known["tokenizers"], folder, make if name in learned else Published) if known else ()


def only(tokenizers: Sequence[Reader], name: str) -> Reader:
    """The tokenizer of a kind that has one.

    Raises:
      UserError: it is that of a source and a target.
    """
    if len(tokenizers) > 1:
        raise UserError(
            f"config.data.tokenizer={name} is two, for a source and a target, as config.data.kind=pairs has them: name "
            "a file of one."
        )
    return tokenizers[0]


def load(digests: Mapping[str, str], folder: Path, make: Callable[[bytes], Reader] = Tokenizer) -> tuple[Reader, ...]:
    """The tokenizers that a run was trained with, from its workdir.

    Args:
      digests: of each, by its file's name.
      make: from the bytes of such a file.

    Raises:
      UserError: one that is missing, or that is another one.
    """
    found = []
    for name, digest in digests.items():
        if not re.fullmatch(r"tokenizer(\.[^/\\]+)?\.model", name):
            raise UserError(
                f"the config.json in {folder} names a tokenizer outside that folder, {name}: do not trust it."
            )
        try:
            model = (folder / name).read_bytes()
        except FileNotFoundError:
            raise UserError(
                f"{folder} has lost its {name}: put it back; the weights mean nothing without it."
            ) from None
        except OSError as error:
            raise UserError(f"cannot read {folder / name}: {error.strerror}.") from None
        if (found_digest := digest_of(model)) != digest:
            raise UserError(
                f"{folder / name} is not the tokenizer that this run was trained with ({found_digest} there, {digest} "
                "in config.json): put the right one back."
            )
        found.append(make(model))
    return tuple(found)


def cut(ids: Ids, most: int) -> Ids:
    """The first `most` ids of each sentence. The last one stays EOS."""
    return [i if len(i) <= most else np.append(i[: most - 1], i[-1:]) for i in ids]


def notes(tokenizer: Reader, ids: Ids, most: int, what: str) -> list[str]:
    """Lines on what the model will not see of these sentences: unknown tokens, and what is beyond the first `most`."""
    found = []
    if unknown := sum(map(tokenizer.unknown, ids)):
        found.append(f"{what}: {unknown:,} tokens that are not in the vocabulary.")
    if long := sum(len(i) > most for i in ids):
        found.append(f"{what}: {long:,} sentences cut to max_length={most} tokens.")
    return found


def shapes(plan: Buckets, spec: Spec) -> list[tuple[float, Spec]]:
    """Every shape of a global batch, with its share of an epoch's batches; `spec` is that of one row."""
    return [
        (batches / plan.steps, of_rows(spec, rows, length))
        for batches, rows, length in zip(plan.batches.tolist(), plan.rows.tolist(), plan.bounds.tolist(), strict=True)
        if batches
    ]


def typed(texts: Sequence[str]) -> Sequence[str]:
    """A person's texts.

    Raises:
      UserError: one has bytes that are not UTF-8.
    """
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError(f"'{shown(text)[:60]}' is not UTF-8.") from None
    return texts


def one_batch(tokenizer: Reader, texts: Sequence[str], most: int) -> tuple[np.ndarray, list[str]]:
    """Sentences as one batch int32 (n, S), S a multiple of 8 or `most`; and what was done to them, as lines."""
    ids = tokenizer.encode(typed(texts))
    return padded(cut(ids, most), most), notes_of(tokenizer, texts, ids, most)


def notes_of(tokenizer: Reader, texts: Sequence[str], ids: Ids, most: int) -> list[str]:
    """The same lines as `notes`, for a person's texts."""
    long, strange = [], []
    for text, sentence in zip(texts, ids, strict=True):
        if len(sentence) > most:
            long.append(f"cut from {len(sentence)} to max_length={most} tokens: {text[:60]!r} ...")
        if unknown := tokenizer.unknown(sentence):
            strange.append(f"{unknown} tokens that are not in the vocabulary in: {text[:60]!r}")
    found = []
    for lines in (long, strange):
        found += lines[:NOTED]
        found += [f"the same of {len(lines) - NOTED:,} more of these {len(texts):,}."] * (len(lines) > NOTED)
    return found


def padded(ids: Ids, most: int, value: int = 0) -> np.ndarray:
    """Rows no longer than `most` as one int32 (n, S), S a multiple of 8 or `most`."""
    length = min(-(-max(map(len, ids)) // MULTIPLE) * MULTIPLE, most)
    return np.stack([np.pad(row, (0, length - len(row)), constant_values=value) for row in ids]).astype(np.int32)
