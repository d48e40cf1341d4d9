"""Two aligned files of plain text, one line an example: train.de and train.en, or de.train.txt and en.train.txt.

The first are the names of Moses and WMT, the second those of tfds.TranslateFolder; either may be packed as .gz. For
language models: any files of plain text.
"""

import glob
import gzip
import math
import re
import zlib
from collections.abc import Callable
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
            f"{paths[longer].name} only: {texts[longer][common][:60]!r}. Line i of one must translate line i of the "
            "other."
        )
    return cut(list(zip(*texts, strict=True)), split, str(folder))


def two(languages: tuple[str, ...]) -> tuple[str, str]:
    """The source's and the target's language.

    Raises:
      UserError: there are not two.
    """
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


def documents(name: str, split: str, data_dir: str) -> list[str]:
    """Files of plain text, each of them one document, in the order of their names.

    A folder that has SPLIT.txt or SPLIT/ for "train" has its splits there. All other files are the split "train", of
    which others are parts: "train[:90%]" is the first 90 % of all characters.

    Args:
      name: files, folders (all *.txt in them, recursively) and globs ("books/**/*.md"), with commas between.
    """
    stem = split.split("[")[0]
    found = [path for one in name.split(",") for path in _matches(Path(data_dir, one.strip()).expanduser(), stem)]
    return part([whole(path) for path in found], split, name)


def _matches(path: Path, stem: str) -> list[Path]:
    """The files of a split that one name stands for."""
    if path.is_dir() and any((path / train).exists() for train in ("train", "train.txt")):
        there = [file for file in (path / f"{stem}.txt", path / stem) if file.exists()]
        if not there:
            raise UserError(
                f"{path} has no {stem}.txt and no folder {stem!r}: "
                f"{nearest(stem, [file.stem for file in path.iterdir()])}"
            )
        return there if there[0].is_file() else sorted(file for file in there[0].rglob("*.txt") if file.is_file())
    if stem != "train":
        raise UserError(
            f"{path} has one split, 'train', and not {stem!r}: take parts, 'train[:90%]' and 'train[90%:]'."
        )
    pattern = str(path / "**" / "*.txt") if path.is_dir() else str(path)
    found = sorted(Path(file) for file in glob.glob(pattern, recursive=True) if Path(file).is_file())
    if not found:
        raise UserError(f"config.data.name: there is no file {pattern}.")
    return found


def whole(path: Path) -> str:
    """The text of a file in UTF-8, as it is or as .gz, without the mark that Windows's editors begin with."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} is not UTF-8: line {line}, byte {error.start} of the file. Convert it, as with iconv -f latin1 -t "
            "utf-8."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}.") from None


def lines(path: Path) -> list[str]:
    r"""The lines of a file in UTF-8. Only \n and \r\n end one: str.splitlines breaks at U+2028 and others too, which
    stand within sentences of real corpora."""
    found = whole(path).split("\n")
    if not found[-1]:
        found.pop()
    if not found:
        raise UserError(f"{path} is empty.")
    return [line.removesuffix("\r") for line in found]


def part(documents: list[str], split: str, what: str) -> list[str]:
    """The part of all characters that "train[10%:90%]" names, a percentage rounded down; `what` is their name in
    errors.
    """
    size = sum(map(len, documents))
    start, stop = _bounds(split, size, what, math.floor, "characters")
    found, before = [], 0
    for document in documents:
        if piece := document[max(0, start - before) : max(0, stop - before)]:
            found.append(piece)
        before += len(document)
    if not found:
        raise UserError(f"{what}: {split!r} is empty, of {size:,} characters.")
    return found


def cut(examples: list[T], split: str, what: str) -> list[T]:
    """The part of `examples` that "train[10%:90%]" names, rounded as TFDS does; `what` is their name in errors."""
    start, stop = _bounds(split, len(examples), what, round, "examples")
    part = examples[start:stop]
    if not part:
        raise UserError(f"{what}: {split!r} is empty, of {len(examples)} examples.")
    return part


def _bounds(split: str, size: int, what: str, rounded: Callable[[float], int], of: str) -> tuple[int, int]:
    match = SPLIT.fullmatch(split)
    if not match:
        raise UserError(
            f"{split!r} is no part of a split: write it as 'train[:90%]', 'train[1000:]' or 'train[-10%:]'."
        )
    places = [_place(bound, size, rounded) for bound in match.groups()]
    if any(abs(place or 0) > size for place in places):
        raise UserError(f"{what}: {split!r} reaches beyond its {size} {of}.")
    start, stop, _ = slice(*places).indices(size)
    return start, stop


def _place(bound: str | None, size: int, rounded: Callable[[float], int]) -> int | None:
    if bound is None:
        return None
    return rounded(float(bound[:-1]) * size / 100) if bound.endswith("%") else int(bound)
