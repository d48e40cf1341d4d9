"""Tokenizers that come with published weights, renumbered so that the special ids are those of models/tokens.py.

Read are a folder as it is downloaded, or one of its files: sentencepiece's .model; Hugging Face's tokenizer.json;
vocab.json with merges.txt (GPT-2's byte-level BPE); vocab.txt (BERT's WordPiece); vocab.json with source.spm and
target.spm (Marian), a tokenizer for each language with one vocabulary.
"""

import base64
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import sentencepiece

import storage
from data.tokenizer import Reader, Tokenizer, cores, digest_of, reason, within
from errors import UserError
from lookup import Json
from models.tokens import BOS, EOS, PAD, UNKNOWN

PLACES = {"eos": EOS, "pad": PAD, "unknown": UNKNOWN, "bos": BOS}  # of two roles that share an id the first has it
# What the files call the token of a role, and how it is spelled where they do not say.
KEYS = {
    "pad": ("pad_token",),
    "unknown": ("unk_token",),
    "bos": ("bos_token", "cls_token"),
    "eos": ("eos_token", "sep_token"),
    "mask": ("mask_token",),
}
SPELLED = {
    "pad": ("<pad>", "[PAD]"),
    "unknown": ("<unk>", "[UNK]"),
    "bos": ("<s>", "[CLS]"),
    "eos": ("</s>", "[SEP]", "<|endoftext|>"),
    "mask": ("<mask>", "[MASK]"),
}
FORMATS = "sentencepiece's .model, tokenizer.json, vocab.json with merges.txt, or vocab.txt"
LANGUAGE = re.compile(r"(>>[^<>\s]+<<)\s*(.*)", re.DOTALL)  # what a multilingual Marian begins its sources with
AT_ONCE = 10_000  # texts, as what the library makes of one is many times as large as its ids


class _Engine(Protocol):
    """How a library reads and writes text, by the ids of the file and without special ones."""

    vocabulary: Mapping[str, int]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""

    def decode(self, ids: list[int]) -> str:
        """The text of ids that the vocabulary has."""


class _Sentencepiece:
    """sentencepiece's own ids, or those of a vocabulary by its pieces, as Marian has them."""

    def __init__(self, content: str, vocabulary: Mapping[str, int] | None):
        self.processor = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(base64.b64decode(content))
        except RuntimeError as error:
            raise ValueError(reason(error)) from None
        self.by_pieces = vocabulary is not None
        pieces = self.processor.id_to_piece(list(range(self.processor.vocab_size())))
        self.vocabulary = vocabulary or {piece: i for i, piece in enumerate(pieces)}
        self._pieces = {i: piece for piece, i in self.vocabulary.items()}

    @property
    def special(self) -> dict[str, int]:
        """What the model itself says, which is none of Marian's business."""
        p = self.processor
        ids = {"pad": p.pad_id(), "unknown": p.unk_id(), "bos": p.bos_id(), "eos": p.eos_id()}
        return {} if self.by_pieces else {role: i for role, i in ids.items() if i >= 0}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
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
        if not self.by_pieces:
            return self.processor.decode(ids)
        return self.processor.decode_pieces([self._pieces[i] for i in ids]).replace("▁", " ").strip()


class _Tokenizers:
    """Hugging Face's library."""

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
        parts = (texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE))
        encode = self._tokenizer.encode_batch_fast
        try:
            return [one.ids for part in parts for one in encode(list(part), add_special_tokens=False)]
        except Exception as error:  # the library raises nothing more special
            raise UserError(f"this tokenizer cannot read these texts: {' '.join(str(error).split())}.") from None

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)


class Published:
    """A tokenizer from files: see Reader of data/tokenizer.py.

    Its special ids come first, in the places of models/tokens.py, and then the file's other ids in their order. A
    place whose role the file does not have is one of these.

    Attributes:
      model: the bytes to store: what the files say, as one JSON.
      size: V.
      digest: a name for the model's content, 16 hexadecimal digits.
      order: int32 (V,), the file's id of each of ours.
      lacks: the roles that the file does not have, of pad, unknown, bos and eos.
      mask: our id of the token that stands for a masked one, or None.
    """

    def __init__(self, model: bytes):
        try:
            content = json.loads(model)
            kind, text, special = content["published"], content["content"], content["special"]
            own = content.get("vocabulary")
            self._engine: _Engine = _Sentencepiece(text, own) if kind == "sentencepiece" else _Tokenizers(text)
            ids = self._engine.vocabulary.values()
            self.size = max(int(content["size"]), max(ids) + 1)
            if min(ids) < 0 or any(not 0 <= i < self.size for i in special.values()):
                raise ValueError(f"an id is not within its {self.size:,}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"this is no published tokenizer, or a damaged one: {reason(error)}.") from None
        places: dict[int, int] = {}
        for role, place in PLACES.items():
            if role in special and special[role] not in places.values():
                places[place] = special[role]
        self.lacks = tuple(role for role, place in PLACES.items() if place not in places)
        others = (i for i in range(self.size) if i not in places.values())
        first = [places[place] if place in places else next(others) for place in range(min(len(PLACES), self.size))]
        self.order = np.array([*first, *others], np.int32)
        self._ours = np.argsort(self.order).astype(np.int32)
        self._pieces = {i: piece for piece, i in self._engine.vocabulary.items()}
        self.mask: int | None = int(self._ours[special["mask"]]) if "mask" in special else None
        self.model = model
        self.digest = digest_of(model)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, int32, and EOS after them where the vocabulary has one."""
        end = np.array([] if "eos" in self.lacks else [EOS], np.int32)
        return [np.concatenate([self._ours[ids], end]) if ids else end for ids in self._engine.encode(texts)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to EOS. PAD, BOS and ids that stand for nothing are passed over.

        Raises:
          UserError: an id outside 0 ... size - 1.
        """
        ids = within(ids, self.size)
        if "eos" not in self.lacks:
            ids = list(itertools.takewhile(lambda i: i != EOS, ids))
        silent = {PLACES[role] for role in ("pad", "bos") if role not in self.lacks}
        theirs = (int(self.order[i]) for i in ids if i not in silent)
        return self._engine.decode([i for i in theirs if i in self._pieces])

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """What each id stands for, as the file spells it; "" for nothing."""
        return [self._pieces.get(int(self.order[i]), "") for i in within(ids, self.size)]

    def unknown(self, ids: Sequence[int] | np.ndarray) -> int:
        """How many ids are UNKNOWN."""
        return 0 if "unknown" in self.lacks else int((np.asarray(ids) == UNKNOWN).sum())


def read(path: Path | str) -> tuple[Published, ...]:
    """The tokenizer of a file or folder; of Marian's two, the source's and the target's.

    Raises:
      UserError: there is none, or it cannot be read; the line says what is read.
    """
    path = storage.here(str(path))
    try:
        folder = path if path.is_dir() else path.parent
        made = _of_folder(path) if path.is_dir() else _of_file(path)
        size = _json(folder / "config.json").get("vocab_size", 0)
        size = size if isinstance(size, int) else 0
        return tuple(Published(json.dumps(one | {"size": size}, sort_keys=True).encode()) for one in made)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"cannot read {error.filename or path}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is no tokenizer, or a damaged one: {reason(error)}.") from None


def files(readers: Sequence[Reader]) -> dict[str, bytes]:
    """The files that a folder of published weights has of its tokenizer, from which `read` makes it again: one, or the
    source's and the target's. None of a tokenizer of characters, which no other project reads."""
    found: dict[str, bytes] = {}
    for name, reader in zip(("source", "target"), readers, strict=False):
        content: Json = json.loads(reader.model) if isinstance(reader, Published) else {}
        if content.get("vocabulary"):
            found |= {f"{name}.spm": base64.b64decode(content["content"])}
            vocabulary = dict(sorted(content["vocabulary"].items(), key=lambda item: item[1]))
            found |= {"vocab.json": json.dumps(vocabulary, ensure_ascii=False, indent=2).encode()}
        elif content.get("published") == "sentencepiece":
            found["spiece.model"] = base64.b64decode(content["content"])
        elif content:
            found["tokenizer.json"] = content["content"].encode()
        elif isinstance(reader, Tokenizer):
            found["spiece.model"] = reader.model
    if found:
        said = {KEYS[role][0]: readers[0].pieces([place])[0] for role, place in special(readers[0]).items()}
        found["tokenizer_config.json"] = json.dumps(said, ensure_ascii=False, indent=2).encode()
    return found


def special(reader: Reader) -> dict[str, int]:
    """Our id of each role that a tokenizer has."""
    return {role: place for role, place in PLACES.items() if role not in reader.lacks}


def _of_folder(folder: Path) -> list[Json]:
    names = {path.name for path in folder.iterdir()}
    if {"source.spm", "target.spm", "vocab.json"} <= names:
        return [_marian(folder / name) for name in ("source.spm", "target.spm")]
    models = sorted(name for name in names if name.endswith(".model"))
    for name in ("tokenizer.json", *models[: len(models) == 1], "vocab.json", "vocab.txt"):
        if name in names:
            return _of_file(folder / name)
    if models:
        raise UserError(f"there are several tokenizers, {', '.join(models)}: name one of these files.")
    raise UserError(f"there is no tokenizer here: {FORMATS}.")


def _of_file(path: Path) -> list[Json]:
    if path.suffix == ".spm" and (path.parent / "vocab.json").exists():
        return [_marian(path)]
    if path.suffix in (".model", ".spm"):
        content = path.read_bytes()
        if content.startswith(b"{"):
            return [{key: value for key, value in json.loads(content).items() if key != "size"}]  # of a run
        text = base64.b64encode(content).decode()
        engine = _Sentencepiece(text, None)
        special = _special(path.parent, engine.vocabulary) | engine.special
        return [{"published": "sentencepiece", "content": text, "special": special}]
    if path.name == "vocab.json":
        return [_in_json(path, _bytes_bpe(path))]
    if path.suffix == ".json":
        return [_in_json(path, path.read_text("utf-8"))]
    if path.suffix == ".txt":
        return [_in_json(path, _wordpiece(path))]
    raise UserError(f"there is no tokenizer in it: {FORMATS}.")


def _in_json(path: Path, content: str) -> Json:
    special = _special(path.parent, _Tokenizers(content).vocabulary)
    return {"published": "tokenizers", "content": content, "special": special}


def _marian(path: Path) -> Json:
    vocabulary = _json(path.parent / "vocab.json")
    content = base64.b64encode(path.read_bytes()).decode()
    special = _special(path.parent, vocabulary)
    return {"published": "sentencepiece", "content": content, "special": special, "vocabulary": vocabulary}


def _bytes_bpe(path: Path) -> str:
    """GPT-2's: every byte is a character of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = path.with_name("merges.txt")
    if not merges.is_file():
        raise UserError("merges.txt is not beside it, without which vocab.json tells nothing.")
    tokenizer = Tokenizer(_library(models.BPE.from_file, str(path), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer.to_str()


def _wordpiece(path: Path) -> str:
    """BERT's: words and their continuations, which begin with ##."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    words = path.read_text("utf-8").splitlines()
    if len(set(words)) < len(words) or "[UNK]" not in words:
        raise ValueError("it is not a list of different words, one a line, with [UNK] among them")
    plain = [word for word in words if not re.fullmatch(r"\[.*\]", word)]
    lower = _json(path.with_name("tokenizer_config.json")).get("do_lower_case", not any(map(_capital, plain)))
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(lower))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer.to_str()


def _capital(word: str) -> bool:
    return word != word.lower()


def _library(call: Any, *arguments: str) -> Any:  # a function of the library, which has no types
    try:
        return call(*arguments)
    except Exception as error:  # the library raises nothing more special
        raise ValueError(" ".join(str(error).split())) from None


def _special(folder: Path, vocabulary: Mapping[str, int]) -> dict[str, int]:
    """The file's id of each role, by what the files beside it call it, or by the usual spellings."""
    said = _json(folder / "special_tokens_map.json") | _json(folder / "tokenizer_config.json")
    found = {}
    for role, keys in KEYS.items():
        tokens = [said[key] for key in keys if said.get(key)] or list(SPELLED[role])
        spelled = (token["content"] if isinstance(token, dict) else token for token in tokens)
        if (i := next((vocabulary[token] for token in spelled if token in vocabulary), None)) is not None:
            found[role] = i
    return found


def _json(path: Path) -> Json:
    """A JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return found
