"""Lists of images with their captions, as they are published: token files, tables and JSON lines."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.slices import names
from data.text.files import lines
from errors import UserError, shown

IMAGE = ("image", "file_name", "filename", "file", "filepath", "path", "image_path")  # what a first column is called
CAPTION = ("caption", "text", "title", "captions", "raw", "sentence", "comment")
KINDS = ("tsv", "csv", "jsonl", "txt")
OF_SPLIT = tuple(f"{{}}{name}.{kind}" for name in ("", "/captions", "/metadata") for kind in KINDS)
OF_ALL = ("*.token.txt", "captions.tsv", "captions.csv", "captions.jsonl", "captions.txt")
LISTS = ("*{}Images.txt", "*.{}.txt", "{}_images.txt")  # of the images of a split, beside a list of all captions
NUMBER = re.compile(r"#(\d+)$")  # of a caption of its image, in token files


@dataclass
class Listed:
    """What a list says.

    Attributes:
      file: the list.
      captions: of each image, by its name there, in the list's order.
      without: images that the list names without a caption.
      left_out: how many captions were, by reason.
    """

    file: Path
    captions: dict[str, list[str]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """Lines for a person on captions that were left out."""
        what = shown(str(self.file))
        found = [f"{what}: left out: {count:,} captions that are {why}." for why, count in self.left_out.items()]
        if self.without:
            found.append(
                f"{what}: left out: {len(self.without):,} images that have no caption ({shown(self.without[0])})."
            )
        return found


def read(root: Path, split: str) -> Listed:
    """The captions of a split: of a list of its own, or those of a list of all images that a list of the split names.

    Raises:
      UserError: there is no list, or it cannot be read.
    """
    for one in names(split):
        for pattern in OF_SPLIT:
            path = root / pattern.format(one)
            if path.is_file() and not (pattern == "{}.txt" and _whole(root)):
                return _grouped(path, None)
    whole = _whole(root)
    if whole is None:
        looked = ", ".join(pattern.format(split) for pattern in OF_SPLIT[:3])
        raise UserError(f"{shown(str(root))} has no captions of {split!r}: {looked}, or {', '.join(OF_ALL[:2])}.")
    for one in names(split):
        for pattern in ("{}.txt", *LISTS):
            for path in sorted(root.glob(pattern.format(one))):
                if path != whole:
                    return _grouped(whole, [line.strip() for line in lines(path) if line.strip()])
    if split != "train":
        raise UserError(
            f"{shown(str(whole))} has the captions of all images, and no list says which are of {split!r}: write their "
            f"names into {split}.txt, or take parts: config.data.train_split='train[:90%]' and "
            "eval_splits=('train[90%:]',)."
        )
    return _grouped(whole, None)


def _whole(root: Path) -> Path | None:
    return next((path for pattern in OF_ALL for path in sorted(root.glob(pattern))), None)


def _grouped(path: Path, wanted: Sequence[str] | None) -> Listed:
    """The captions of a list by image, without empty ones and without one that an image has twice.

    Args:
      wanted: the images that are asked for; None for all.
    """
    found = Listed(path)
    named: dict[str, list[str]] = {}
    for image, caption in _pairs(path):
        named.setdefault(image, [])
        if not caption:
            found.left_out["empty"] += 1
        elif caption in named[image]:
            found.left_out["another caption of the image again"] += 1
        else:
            named[image].append(caption)
    asked = list(dict.fromkeys(wanted)) if wanted is not None else list(named)
    if not any(image in named for image in asked):
        raise UserError(f"{shown(str(path))} has captions of none of the {len(asked):,} images that are asked for.")
    if wanted is not None:
        found.left_out = Counter()  # of the other splits too
    found.without = [image for image in asked if not named.get(image)]
    found.captions = {image: named[image] for image in asked if named.get(image)}
    if not found.captions:
        raise UserError(f"{shown(str(path))}: none of its {len(asked):,} images has a caption.")
    return found


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Image and caption of each line; "" for a caption that is missing."""
    pairs = _of_json(path) if path.suffix == ".jsonl" else _of_table(path)
    for image, caption in pairs:
        yield NUMBER.sub("", image.strip()), " ".join(caption.split())


def _of_json(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            image = next(str(row[key]) for key in IMAGE if key in row)
        except (ValueError, RecursionError, TypeError, StopIteration):
            raise UserError(
                f"{shown(str(path))}, line {number}: it should be a JSON object with an image ({IMAGE[1]}) and a "
                f"caption ({CAPTION[1]}): {shown(line)[:60]!r}."
            ) from None
        said = next((row[key] for key in CAPTION if key in row), None)
        for caption in said if isinstance(said, list) else [said]:
            yield image, caption if isinstance(caption, str) else ""


def _of_table(path: Path) -> Iterator[tuple[str, str]]:
    rows = lines(path)
    first = next((line for line in rows if line.strip()), "")
    mark = "\t" if path.suffix == ".tsv" or "\t" in first else ","
    places = (0, 1)
    head = [cell.strip().lower() for cell in _cells(first, mark)]
    titled = any(cell in IMAGE for cell in head) and any(cell in CAPTION for cell in head)
    if titled:
        image, caption = (next(i for i, cell in enumerate(head) if cell in known) for known in (IMAGE, CAPTION))
        places = (image, caption)
    for line in rows:
        if not line.strip() or (titled and line == first):
            continue
        cells = _cells(line, mark)
        if not titled or (len(cells) > len(head) and places[1] == len(head) - 1):  # a mark within a caption
            cells = [*cells[: places[1]], mark.join(cells[places[1] :])]
        yield (cells[places[0]] if len(cells) > places[0] else ""), (cells[places[1]] if len(cells) > places[1] else "")


def _cells(line: str, mark: str) -> list[str]:
    return line.split("\t") if mark == "\t" else next(csv.reader([line]), [""])
