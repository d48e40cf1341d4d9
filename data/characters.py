"""Characters or bytes as ids. Text comes back exactly: nothing is normalised."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from data.tokenizer import digest_of, within
from errors import UserError
from models.tokens import BOS, EOS, PAD, UNKNOWN

SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")  # as sentencepiece calls ids 0 to 3
BYTES = 256


class Characters:
    """A tokenizer whose ids are characters, in the order of their code points, or bytes.

    `model`: the bytes to store. `size`: V, the number of ids. `digest`: a name for the model's content, 16 hexadecimal
    digits. `special`: whether the ids of models/tokens.py come first; without them ids begin at 0, no text has an end
    of its own, and a character that is not in the alphabet is an error. `order`, `lacks`, `mask`, `between`: see Reader
    of data/tokenizer.py.
    """

    order: np.ndarray | None = None
    mask: int | None = None
    between = 1

    def __init__(self, model: bytes):
        try:
            content = json.loads(model)
            alphabet, self.special = content["characters"], content["special"]
            if not isinstance(alphabet, str | None) or not isinstance(self.special, bool):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise UserError("this is no tokenizer of characters, or a damaged one.") from None
        self.model = model
        self.digest = digest_of(model)
        self._first = len(SPECIAL) if self.special else 0
        self.lacks: tuple[str, ...] = () if self.special else ("pad", "unknown", "bos", "eos")
        self._alphabet: str | None = alphabet
        self._codes = np.array([ord(c) for c in alphabet or ""], np.uint32)
        self.size = self._first + (BYTES if alphabet is None else len(alphabet))

    @classmethod
    def train(
        cls, texts: Iterable[str], kind: Literal["char", "byte"], size: int = 1 << 21, special: bool = True
    ) -> "Characters":
        """A tokenizer of these texts.

        Args:
          kind: "byte" needs no texts.
          size: V. Of "char" an upper bound: the vocabulary is what occurs, the most frequent first.

        Raises:
          UserError: no text, or no room for all of it without an id for unknown characters.
        """
        alphabet = None
        if kind == "char":
            counts: Counter[str] = Counter()
            for text in texts:
                counts.update(text)
            room = size - (len(SPECIAL) if special else 0)
            if not counts:
                raise UserError("there is no text to learn a tokenizer from.")
            if len(counts) > room and not special:
                raise UserError(
                    f"these texts have {len(counts):,} characters, more than config.data.vocabulary_size={size}, and "
                    "special=False leaves no id for others."
                )
            kept = sorted(counts, key=lambda c: (-counts[c], c))[: max(0, room)]
            alphabet = "".join(sorted(kept))
        return cls(json.dumps({"characters": alphabet, "special": special}).encode())

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, int32, and with special ids EOS after them.

        Raises:
          UserError: a character that is not in the alphabet, where there is no id for it.
        """
        end = np.array([EOS] if self.special else [], np.int32)
        return [np.concatenate([self._ids(text), end]) for text in texts]

    def _ids(self, text: str) -> np.ndarray:
        if self._alphabet is None:
            return np.frombuffer(text.encode(), np.uint8).astype(np.int32) + self._first
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        place = np.minimum(np.searchsorted(self._codes, codes), max(0, len(self._codes) - 1))
        there = self._codes[place] == codes if len(self._codes) else np.zeros(len(codes), bool)
        if not self.special and not there.all():
            raise UserError(
                f"the character {chr(int(codes[~there][0]))!r} is not in the alphabet, and config.data.special=False "
                "leaves no id for it."
            )
        return np.where(there, place + self._first, UNKNOWN).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to EOS. PAD, BOS and negative ids are passed over, UNKNOWN is shown as ⁇.

        Raises:
          UserError: an id beyond the last one.
        """
        ids = within((i for i in map(int, ids) if i >= 0), self.size)
        if self.special:
            ids = [i for i in itertools.takewhile(lambda i: i != EOS, ids) if i not in (PAD, BOS)]
        if self._alphabet is None:
            unknown = "⁇".encode()
            raw = b"".join(unknown if i < self._first else bytes([i - self._first]) for i in ids)
            return raw.decode(errors="replace")
        return "".join("⁇" if i < self._first else self._alphabet[i - self._first] for i in ids)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """What each id stands for, special ones included ("</s>"); bytes as "<0x0A>"."""
        return [self._piece(i) for i in within(ids, self.size)]

    def unknown(self, ids: Sequence[int] | np.ndarray) -> int:
        """How many ids are UNKNOWN."""
        return int((np.asarray(ids) == UNKNOWN).sum()) if self.special else 0

    def _piece(self, i: int) -> str:
        if i < self._first:
            return SPECIAL[i]
        return f"<0x{i - self._first:02X}>" if self._alphabet is None else self._alphabet[i - self._first]
