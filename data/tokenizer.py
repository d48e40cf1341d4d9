"""Text to ids and back: a subword tokenizer by sentencepiece, learned from the training texts.

Its serialised model is all there is to it: kept beside a checkpoint, it reads and writes what that run did.
"""

import hashlib
import io
import itertools
import os
import random
import re
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np
import sentencepiece

from errors import UserError
from models.tokens import BOS, EOS, PAD, UNKNOWN

MASK = "[MASK]"  # the token that stands for a hidden one
SENTENCES = 5_000_000  # learned from at most; of more, a sample drawn always the same way
Normalisation: TypeAlias = Literal["nmt_nfkc", "nfkc", "identity"]
EXACT = dict(normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False)
THREADS = 16  # of training: a part of the model, so not the machine's own number


class Reader(Protocol):
    """What tokenizers have in common.

    Attributes:
      model: the bytes to store.
      size: V, the number of ids.
      digest: a name for the model's content, 16 hexadecimal digits.
      order: of a tokenizer from elsewhere, int32 (V,), its own id of each of ours; None where they are the same.
      lacks: those of "pad", "unknown", "bos" and "eos" for which there is no id.
      mask: the id of the token that stands for a hidden one; None where there is none.
      between: how many EOS stand between the two texts of a pair: RoBERTa was trained with two.
    """

    model: bytes
    size: int
    digest: str
    lacks: tuple[str, ...]
    mask: int | None
    between: int

    @property
    def order(self) -> np.ndarray | None:
        """See above."""

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text and EOS after them, int32."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to EOS."""

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """What each id stands for."""

    def unknown(self, ids: Sequence[int] | np.ndarray) -> int:
        """How many ids stand for what is not in the vocabulary."""


class Tokenizer:
    """`model`: the bytes to store. `size`: V, the number of ids, the four special ones included. `digest`: a name for
    the model's content, 16 hexadecimal digits. `mask`: the id of the token that stands for a hidden one, or None.

    Text is normalised first, unless the tokenizer is `exact`: by one of sentencepiece's rules for characters, and white
    space becomes single spaces and falls away at both ends. decode(encode(text)) is the normalised text, except for
    characters that are not in the vocabulary.
    """

    order: np.ndarray | None = None
    lacks: tuple[str, ...] = ()
    between = 1

    def __init__(self, model: bytes):
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise UserError(f"this is no tokenizer, or a damaged one: {reason(error)}.") from None
        p = self._processor
        if (p.pad_id(), p.unk_id(), p.bos_id(), p.eos_id()) != (PAD, UNKNOWN, BOS, EOS):
            raise UserError(
                "this tokenizer was not made here: its padding, unknown, begin and end are not ids 0 to 3. Name it by "
                "config.data.tokenizer."
            )
        self.model = model
        self.size: int = p.vocab_size()
        self.digest = digest_of(model)
        self.mask: int | None = p.piece_to_id(MASK) if p.piece_to_id(MASK) != UNKNOWN else None

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: Literal["bpe", "unigram", "char", "word"],
        size: int,
        byte_fallback: bool = False,
        coverage: float = 1.0,
        exact: bool = False,
        normalisation: Normalisation = "nmt_nfkc",
        symbols: Sequence[str] = (),
    ) -> "Tokenizer":
        """A tokenizer of these texts; the same texts give the same bytes.

        Args:
          kind: "word" splits at white space only, so texts should have spaces around punctuation.
          size: V. Of "char" and "word" an upper bound: the vocabulary is what occurs, the most frequent first.
          byte_fallback: spell a character that is not in the vocabulary as its UTF-8 bytes, 256 further ids, instead of
            UNKNOWN.
          coverage: the share of the texts' characters, counted as often as they occur, that the alphabet must hold.
            1.0 keeps every one; 0.9995 is usual for Chinese and Japanese, with their thousands of rare ones.
          normalisation: "nmt_nfkc" is NFKC, without control characters and with every kind of space as a space, among
            them the zero-width non-joiner; "nfkc" keeps that, as Persian needs; "identity" changes no character.
          symbols: how tokens are spelled that stand for hidden ones, such as MASK.
          exact: keep every space and line feed as it is, so that decode(encode(text)) is the text (but "▁" is a space).

        Raises:
          UserError: no text, or a size that these texts cannot have; it says which they can.
        """
        sample = sampled(texts, SENTENCES)
        if not any(text.strip() for text in sample):
            raise UserError("there is no text to learn a tokenizer from.")
        if size <= EOS + 1:
            raise UserError(f"a tokenizer of size={size} has no room beside its four special ids.")
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sample),
                model_writer=model,
                model_type=kind,
                vocab_size=size,
                hard_vocab_limit=kind in ("bpe", "unigram"),
                character_coverage=coverage,
                byte_fallback=byte_fallback,
                control_symbols=list(symbols),  # which no text spells
                user_defined_symbols=["\n"] * exact,
                **(EXACT if exact else dict(normalization_rule_name=normalisation)),
                max_sentence_length=1 << 30,  # longer ones than its default of 4192 bytes would be passed over
                num_threads=THREADS,
                minloglevel=2,
                pad_id=PAD,
                unk_id=UNKNOWN,
                bos_id=BOS,
                eos_id=EOS,
            )
        except (RuntimeError, ValueError) as error:
            if most := re.search(r"too high .* <= (\d+)", str(error)):
                raise UserError(
                    f"these texts are too few for a {kind} tokenizer of size={size}: it can have {most[1]} at most."
                ) from None
            if least := re.search(r"smaller than required_chars. \d+ vs (\d+)", str(error)):
                covered = "" if exact else f", or a coverage below {coverage}"  # where the share is a key
                raise UserError(
                    f"a {kind} tokenizer of size={size} cannot hold these texts' alphabet: it needs {least[1]} at "
                    f"least{covered}."
                ) from None
            raise UserError(f"no {kind} tokenizer of size={size} can be learned: {reason(error)}.") from None
        return cls(model.getvalue())

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text and EOS after them, int32 (length + 1,), read-only. An empty text is EOS alone."""
        return self._processor.encode(list(texts), add_eos=True, return_type="numpy", num_threads=cores())

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to EOS. PAD and BOS are passed over, UNKNOWN is shown as ⁇.

        Raises:
          UserError: an id outside 0 ... size - 1.
        """
        return self._processor.decode(within(itertools.takewhile(lambda i: i != EOS, map(int, ids)), self.size))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """What each id stands for, special ones included ("</s>"); "▁" marks the beginning of a word."""
        return [self._processor.id_to_piece(i) for i in within(ids, self.size)]

    def unknown(self, ids: Sequence[int] | np.ndarray) -> int:
        """How many ids are UNKNOWN."""
        return int((np.asarray(ids) == UNKNOWN).sum())

    @property
    def vocabulary(self) -> list[str]:
        """The text of every id."""
        return self.pieces(range(self.size))


def within(ids: Iterable[int], size: int) -> list[int]:
    """The ids, which may be of any integer type.

    Raises:
      UserError: one that a vocabulary of this size does not have.
    """
    found = [int(i) for i in ids]
    if wrong := [i for i in found if not 0 <= i < size]:
        raise UserError(f"id {wrong[0]} is not in the vocabulary, whose largest is {size - 1}.")
    return found


def digest_of(model: bytes) -> str:
    """A name for the content of a tokenizer, 16 hexadecimal digits."""
    return hashlib.sha256(model).hexdigest()[:16]


def sampled(texts: Iterable[str], most: int) -> list[str]:
    """`most` of the texts, each as likely as the others. sentencepiece's own sample is another in every process."""
    chance, kept = random.Random(0), []
    for i, text in enumerate(texts):
        if i < most:
            kept.append(text)
        elif (place := chance.randrange(i + 1)) < most:
            kept[place] = text
    return kept


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reason(error: Exception) -> str:
    """sentencepiece's message in one line, without the place in its source."""
    return " ".join(re.sub(r"^\w+: \S+\.cc\(\d+\) ", "", str(error)).split()).rstrip(".")
