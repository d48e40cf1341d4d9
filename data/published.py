"""Tokenizers that come with published weights, renumbered so that the special ids are those of models/tokens.py.

Read are a folder as it is downloaded, or one of its files: sentencepiece's .model; Hugging Face's tokenizer.json;
vocab.json with merges.txt (GPT-2's byte-level BPE); vocab.txt (BERT's WordPiece); vocab.json with source.spm and
target.spm (Marian), a tokenizer for each language with one vocabulary.
"""

import base64
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

import storage
from data.engines import Engine, Sentencepiece, Tokenizers
from data.tokenizer import Reader, Tokenizer, digest_of, reason, within
from errors import UserError
from lookup import Json
from models.tokens import BOS, EOS, PAD, SENTINELS, UNKNOWN

R = TypeVar("R")
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
FEWEST = 0.5  # of the rows of an embedding that stand for a token: the others fill it up to a round number
EXTRA = 100  # sentinels that transformers gives a T5 after its pieces, the first one's id the last


class Published:
    """A tokenizer from files: see Reader of data/tokenizer.py.

    Its special ids come first, in the places of models/tokens.py, and then the file's other ids in their order. A
    place whose role the file does not have is one of these.

    Attributes:
      model: the bytes to store: what the files say, as one JSON.
      size: V.
      tokens: how many of these ids stand for something.
      digest: a name for the model's content, 16 hexadecimal digits.
      order: int32 (V,), the file's id of each of ours.
      lacks: the roles that the file does not have, of pad, unknown, bos and eos.
      mask: our id of the token that stands for a masked one, or None.
      between: how many ends stand between the two texts of a pair.
    """

    def __init__(self, model: bytes):
        try:
            content = json.loads(model)
            kind, text, special = content["published"], content["content"], content["special"]
            more = content.get("vocabulary"), content.get("sentinels", 0)
            self._engine: Engine = Sentencepiece(text, *more) if kind == "sentencepiece" else Tokenizers(text)
            ids = self._engine.vocabulary.values()
            self.size = max(int(content["size"]), max(ids) + 1)
            self.between = int(content.get("between", 1))
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
        self.tokens = len(self._pieces)
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
        model = _json(folder / "config.json")
        size = model.get("vocab_size", 0)
        said = {"size": size} if isinstance(size, int) and size else {}
        more = {"between": 2} if model.get("model_type") == "roberta" else {}
        found = tuple(Published(json.dumps({"size": 0} | one | said | more, sort_keys=True).encode()) for one in made)
        if said and (fewest := min(one.tokens for one in found)) < size * FEWEST:
            raise UserError(
                f"the tokenizer has {fewest:,} tokens, and config.json beside it says vocab_size={size:,}: it is "
                "another model's. Put that of this one there."
            )
        return found
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
    raise UserError(
        f"there is no tokenizer here: {FORMATS}. Put one there, or name its folder: --config.data.tokenizer=FOLDER."
    )


def _of_file(path: Path) -> list[Json]:
    if path.suffix == ".spm" and (path.parent / "vocab.json").exists():
        return [_marian(path)]
    if path.suffix in (".model", ".spm"):
        content = path.read_bytes()
        if content.startswith(b"{"):
            return [json.loads(content)]  # of a run
        text = base64.b64encode(content).decode()
        engine = Sentencepiece(text, None)
        special = _special(path.parent, engine.vocabulary) | engine.special
        sentinels = _sentinels(path.parent, engine.vocabulary)
        return [
            {"published": "sentencepiece", "content": text, "special": special}
            | ({"sentinels": sentinels} if sentinels else {})
        ]
    if path.name == "vocab.json":
        return [_in_json(path, _bytes_bpe(path))]
    if path.suffix == ".json":
        return [_in_json(path, path.read_text("utf-8"))]
    if path.suffix == ".txt":
        return [_in_json(path, _wordpiece(path))]
    raise UserError(f"there is no tokenizer in it: {FORMATS}.")


def _in_json(path: Path, content: str) -> Json:
    special = _special(path.parent, Tokenizers(content).vocabulary)
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

    words = path.read_text("utf-8").removesuffix("\n").split("\n")  # some are what str.splitlines breaks at
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


def _library(call: Callable[..., R], *arguments: str) -> R:
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


def _sentinels(folder: Path, pieces: Collection[str]) -> int:
    """How many ids after the pieces of a T5's model are sentinels, which the model itself knows nothing of."""
    model = _json(folder / "config.json")
    if model.get("model_type") != "t5" or any(re.search(SENTINELS, piece) for piece in pieces):
        return 0
    count = _json(folder / "tokenizer_config.json").get("extra_ids", EXTRA)
    return min(int(count), max(int(model.get("vocab_size", 0)) - len(pieces), 0))


def _json(path: Path) -> Json:
    """A JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return found
