"""Two aligned files of plain text, one line an example: train.de and train.en, or de.train.txt and en.train.txt.

The first are the names of Moses and WMT, the second those of tfds.TranslateFolder; either may be packed as .gz. For
language models: any files of plain text.
"""

import codecs
import glob
import gzip
import zlib
from difflib import SequenceMatcher
from pathlib import Path

import storage
from data.listing import walk
from data.slices import cut, cut_mixed, cut_text, named, names, stem
from errors import UserError, nearest


def pairs(name: str, split: str, data_dir: str, languages: tuple[str, ...]) -> list[tuple[str, str]]:
    """Line i of the source language's file with line i of the target's, in the folder `name`; or of two files whose
    names have a comma between, which are all "train": a part of these, "train[:90%]", is of no order."""
    folder = Path() if (alone := "," in name) else storage.here(data_dir, name)
    if alone:
        two(languages)
        if stem(split) != "train":
            raise UserError(
                f"{name} are two files, whose only split is 'train', not {stem(split)!r}: take parts of it."
            )
        paths = [find((f := storage.here(data_dir, one.strip())).parent, "", f.name) for one in name.split(",")]
    else:
        paths = [find(folder, stem(split), f"{{}}.{language}", f"{language}.{{}}.txt") for language in two(languages)]
    texts = [lines(path) for path in paths]
    if len(texts[0]) != len(texts[1]):
        common, longer = min(map(len, texts)), int(len(texts[1]) > len(texts[0]))
        raise UserError(
            f"{paths[0]} has {len(texts[0])} lines and {paths[1].name} {len(texts[1])}: line {common + 1} stands in "
            f"{paths[longer].name} only: {texts[longer][common][:60]!r}. Line i of one must translate line i of the "
            "other."
        )
    found = list(zip(*texts, strict=True))
    return cut_mixed(found, split, name, lambda pair: pair[0]) if alone else cut(found, split, str(folder))


def two(languages: tuple[str, ...]) -> tuple[str, str]:
    """The source's and the target's language.

    Raises:
      UserError: there are not two.
    """
    if len(languages) != 2:
        raise UserError(f"config.data.languages needs two, the source's and the target's: not {tuple(languages)}.")
    return languages[0], languages[1]


def find(folder: Path, split: str, *patterns: str) -> Path:
    """The first of these files that the folder has, as it is or as .gz.

    Args:
      patterns: names of files, with {} for the split's name.
    """
    if not folder.is_dir():
        raise UserError(f"config.data.name: there is no folder {folder}.")

    def files(name: str) -> list[Path]:
        paths = [folder / (pattern.replace("{}", name) + packed) for pattern in patterns for packed in ("", ".gz")]
        return [path for path in paths if path.is_file()]

    if found := files(named(split, [name for name in names(split) if files(name)])):
        return found[0]
    there = [path.name for path in folder.iterdir() if path.is_file()]
    wanted = [pattern.replace("{}", split) for pattern in patterns]
    closest = max(wanted, key=lambda name: max((SequenceMatcher(None, name, t).ratio() for t in there), default=0))
    raise UserError(f"{folder} has no {' or '.join(wanted)}: {nearest(closest, there)}")


def documents(name: str, split: str, data_dir: str) -> list[str]:
    """Files of plain text, each of them one document, in the order of their names.

    A folder that has SPLIT.txt or SPLIT/ for "train" has its splits there. All other files are the split "train", of
    which others are parts: "train[:90%]" is the first 90 % of all characters.

    Args:
      name: files, folders (all *.txt in them, recursively, except hidden ones) and globs ("books/**/*.md"), with
        commas between.
    """
    parts = [one.strip() for one in name.split(",")]
    if not (all(parts) or data_dir):  # an empty part would be the folder that the command runs in
        raise UserError(f"config.data.name={name!r} names no text: write files, folders or patterns, commas between.")
    found = [path for one in parts for path in _matches(storage.here(data_dir, one), stem(split))]
    return cut_text([whole(path) for path in found], split, name)


def _matches(path: Path, split: str) -> list[Path]:
    """The files of a split that one name stands for."""
    if path.is_dir() and any((path / train).exists() for train in ("train", "train.txt")):
        files = [(one, path / f"{one}{end}") for end in ("", ".txt") for one in names(split)]
        there = {one: file for one, file in files if file.exists()}
        if not (file := there.get(named(split, there))):
            raise UserError(
                f"{path} has no {split}.txt and no folder {split!r}: "
                f"{nearest(split, [file.stem for file in path.iterdir()])}"
            )
        return [file] if file.is_file() else _texts(file)
    if split != "train":
        raise UserError(
            f"{path} has one split, 'train', and not {split!r}: take parts, 'train[:90%]' and 'train[90%:]'."
        )
    if path.is_dir():
        return _texts(path)
    found = sorted(Path(file) for file in glob.glob(str(path), recursive=True) if Path(file).is_file())
    if not found:
        raise UserError(f"config.data.name: there is no file {path}.")
    return found


def _texts(folder: Path) -> list[Path]:
    found, _ = walk(folder, (".txt",))
    if not found:
        raise UserError(f"config.data.name: there is no file {folder / '**' / '*.txt'}.")
    return [Path(file) for file in found]


def whole(path: Path) -> str:
    """The text of a file in UTF-8, as it is or as .gz, without the mark that Windows's editors begin with."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        kind = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "latin1"
        raise UserError(
            f"{path} is not UTF-8: line {line}, byte {error.start} of the file. Convert it, as with iconv -f {kind} -t "
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
