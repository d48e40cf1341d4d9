"""Two aligned files of plain text, one line an example: train.de and train.en, or de.train.txt and en.train.txt.

The first are the names of Moses and WMT, the second those of tfds.TranslateFolder; either may be packed as .gz.
"""

import gzip
import re
import zlib
from difflib import SequenceMatcher
from pathlib import Path
from typing import TypeVar

from errors import UserError, nearest

T = TypeVar("T")

BOUND = r"(-?\d+(?:\.\d+)?%|-?\d+)?"
SPLIT = re.compile(rf"[^\[\]]+(?:\[{BOUND}:{BOUND}\])?")


def pairs(name: str, split: str, data_dir: str, languages: tuple[str, ...]) -> list[tuple[str, str]]:
    """Line i of the source language's file with line i of the target's, in the folder `name`."""
    folder, stem = Path(data_dir, name).expanduser(), split.split("[")[0]
    paths = [find(folder, f"{stem}.{language}", f"{language}.{stem}.txt") for language in two(languages)]
    texts = [lines(path) for path in paths]
    if len(texts[0]) != len(texts[1]):
        common, longer = min(map(len, texts)), int(len(texts[1]) > len(texts[0]))
        raise UserError(
            f"{paths[0]} has {len(texts[0])} lines and {paths[1].name} {len(texts[1])}: line {common + 1} stands in "
            f"{paths[longer].name} only: {texts[longer][common][:60]!r}. Line i of one must translate line i of the other."
        )
    return cut(list(zip(*texts, strict=True)), split, str(folder))


def two(languages: tuple[str, ...]) -> tuple[str, str]:
    if len(languages) != 2:
        raise UserError(f"config.data.languages needs two, the source's and the target's: not {tuple(languages)}.")
    return languages[0], languages[1]


def find(folder: Path, *names: str) -> Path:
    """The first of these files that the folder has, as it is or as .gz."""
    if not folder.is_dir():
        raise UserError(f"config.data.name: there is no folder {folder}.")
    for name in (n + packed for n in names for packed in ("", ".gz")):
        if (folder / name).is_file():
            return folder / name
    there = [path.name for path in folder.iterdir() if path.is_file()]
    closest = max(names, key=lambda name: max((SequenceMatcher(None, name, t).ratio() for t in there), default=0))
    raise UserError(f"{folder} has no {' or '.join(names)}: {nearest(closest, there)}")


def lines(path: Path) -> list[str]:
    r"""The lines of a file in UTF-8. Only \n and \r\n end one: str.splitlines breaks at U+2028 and others too, which
    stand within sentences of real corpora."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} is not UTF-8: line {line}, byte {error.start} of the file. Convert it, as with iconv -f latin1 -t utf-8."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}.") from None
    found = text.removeprefix("\ufeff").split("\n")  # without the mark that Windows's editors begin with
    if not found[-1]:
        found.pop()
    if not found:
        raise UserError(f"{path} is empty.")
    return [line.removesuffix("\r") for line in found]


def cut(examples: list[T], split: str, what: str) -> list[T]:
    """The part of `examples` that "train[10%:90%]" names, rounded as TFDS does; `what` is their name in errors."""
    match = SPLIT.fullmatch(split)
    if not match:
        raise UserError(
            f"{split!r} is no part of a split: write it as 'train[:90%]', 'train[1000:]' or 'train[-10%:]'."
        )
    start, stop = (_place(bound, len(examples)) for bound in match.groups())
    if any(abs(place or 0) > len(examples) for place in (start, stop)):
        raise UserError(f"{what}: {split!r} reaches beyond its {len(examples)} examples.")
    part = examples[start:stop]
    if not part:
        raise UserError(f"{what}: {split!r} is empty, of {len(examples)} examples.")
    return part


def _place(bound: str | None, size: int) -> int | None:
    if bound is None:
        return None
    return round(float(bound[:-1]) * size / 100) if bound.endswith("%") else int(bound)
