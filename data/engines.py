"""The libraries that published tokenizers are read with: text to the ids of their files and back."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import sentencepiece

from data.tokenizer import cores, reason
from errors import UserError
from models.tokens import SENTINEL

LANGUAGE = re.compile(r"(>>[^<>\s]+<<)\s*(.*)", re.DOTALL)  # what a multilingual Marian begins its sources with
AT_ONCE = 10_000  # texts, as what the library makes of one is many times as large as its ids


class Engine(Protocol):
    """How a library reads and writes text, by the ids of the file and without special ones."""

    vocabulary: Mapping[str, int]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""

    def decode(self, ids: list[int]) -> str:
        """The text of ids that the vocabulary has."""


class Sentencepiece:
    """sentencepiece.

    Args:
      content: the model, in base64.
      vocabulary: the id of each piece, as Marian has them; None for the model's own ids.
      sentinels: how many follow the model's own ids, the first one's id the last, as transformers has them for T5.

    Raises:
      ValueError: the content is no model.
    """

    def __init__(self, content: str, vocabulary: Mapping[str, int] | None, sentinels: int = 0):
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(base64.b64decode(content))
        except RuntimeError as error:
            raise ValueError(reason(error)) from None
        self.by_pieces = vocabulary is not None
        pieces = self.processor.id_to_piece(list(range(self.processor.vocab_size())))
        pieces += map(SENTINEL.format, reversed(range(sentinels)))
        self.vocabulary = vocabulary or {piece: i for i, piece in enumerate(pieces)}
        self._pieces = {i: piece for piece, i in self.vocabulary.items()}

    @property
    def special(self) -> dict[str, int]:
        """Special ids that the model itself names; of Marian's, whose vocabulary is apart, none."""
        p = self.processor
        ids = {"pad": p.pad_id(), "unknown": p.unk_id(), "bos": p.bos_id(), "eos": p.eos_id()}
        return {} if self.by_pieces else {role: i for role, i in ids.items() if i >= 0}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See Engine."""
        if not self.by_pieces:
            return self.processor.encode(list(texts), num_threads=cores())
        unknown = self.vocabulary.get("<unk>", 0)
        found = []
        for text in texts:
            language = LANGUAGE.fullmatch(text)
            first = [language[1]] if language and language[1] in self.vocabulary else []
            pieces = self.processor.encode(language[2] if language and first else text, out_type=str)
            found.append([self.vocabulary.get(piece, unknown) for piece in (*first, *pieces)])
        return found

    def decode(self, ids: list[int]) -> str:
        """See Engine."""
        text = self.processor.decode_pieces([self._pieces[i] for i in ids])
        return text.replace("▁", " ").strip() if self.by_pieces else text


class Tokenizers:
    """Hugging Face's library.

    Args:
      content: of tokenizer.json.

    Raises:
      ValueError: the content is no tokenizer.
    """

    def __init__(self, content: str):
        import tokenizers  # which few runs need

        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # the library raises nothing more special
            raise ValueError(" ".join(str(error).split())) from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # no text spells a special id
        self.vocabulary: Mapping[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """See Engine."""
        parts = (texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE))
        encode = self._tokenizer.encode_batch_fast
        try:
            return [one.ids for part in parts for one in encode(list(part), add_special_tokens=False)]
        except Exception as error:  # the library raises nothing more special
            raise UserError(f"this tokenizer cannot read these texts: {' '.join(str(error).split())}.") from None

    def decode(self, ids: list[int]) -> str:
        """See Engine."""
        return self._tokenizer.decode(ids, skip_special_tokens=False)
