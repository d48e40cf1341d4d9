"""Images that a list names: NAME/SPLIT.csv, .tsv or .txt, or NAME itself, one path and one class a line."""

import csv
import re
from pathlib import Path

import storage
from data.slices import cut, stem
from data.sources import numbered
from data.sources.folder import Files, part
from data.text.files import find, lines
from errors import UserError

LOOKED_AT = 100  # files of a list whose first one is missing
# What a first line can call the two columns.
HEAD = ("path", "file", "filename", "file_name", "image", "image_path", "filepath")
LABEL = ("class", "label", "category", "target")


class Source(Files):
    """Paths begin at the list's folder. Classes are all integers from 0 on, or else names, which are sorted. In a .txt
    a space stands before the class; empty lines are passed over. A first line "path,class" may stand above, in any
    order and with other columns beside. A list that NAME itself is has one split, "train"; a part of it, "train[:80%]",
    has that part of every class.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        named = storage.here(data_dir, name, beside=True)
        folder = named.parent if (alone := named.is_file()) else named
        if alone and stem(split) != "train":
            raise UserError(
                f"{named} is one list, whose only split is 'train', not {stem(split)!r}: take parts, 'train[:90%]' and "
                "'train[90%:]'."
            )
        path = named if alone else find(folder, stem(split), "{}.csv", "{}.tsv", "{}.txt")
        rows, columns, width, headed = [], (0, 1), 2, False
        for number, line in enumerate(lines(path), 1):
            row = cells(line, path.name)
            if number == 1 and (places := head(row)):
                columns, width, headed = places, len(row), True
                continue
            if not line.strip():
                continue
            row = [row[place] for place in columns] if len(row) == width else []
            if len(row) != 2 or not all(row):
                raise UserError(f"{path}, line {number}: it should be a path and a class: {line[:60]!r}.")
            rows.append(row)
        if not rows:
            raise UserError(f"{path} is empty.")
        if not (folder / rows[0][0]).is_file():
            _check_files(path, folder, [file for file, _ in rows], headed)
        labels = [label for _, label in rows]
        if all(re.fullmatch("[0-9]{1,18}", label) for label in labels):
            classes = numbered(max(map(int, labels)), str(path))
        else:
            classes = tuple(sorted(set(labels)))
        place = {label: i for i, label in enumerate(classes)}
        files = [(str(folder / file), place[label]) for file, label in rows]
        if alone and "[" in split:
            files = part(files, len(classes), folder, split, str(path))
        else:
            files = cut(files, split, str(path))
        self._hold(files, classes, wanted, str(path), folder)


def _check_files(path: Path, folder: Path, files: list[str], headed: bool) -> None:
    """That some of the files are there: those that are missing are counted as they are read.

    Args:
      headed: whether the first line named the columns.

    Raises:
      UserError: none is, or the first one alone is not, which may be the name of a column.
    """
    there = [(folder / file).is_file() for file in files[:LOOKED_AT]]
    if not any(there):
        raise UserError(f"{path}: none of its files is there, such as {folder / files[0]}.")
    if all(there[1:]) and not headed:
        raise UserError(
            f"{path}, line 1: there is no file {folder / files[0]}; if it names the columns, call them path and class."
        )


def head(row: list[str]) -> tuple[int, int] | None:
    """Which columns of a first line are path and class; None for a line that is an example."""
    lower = [cell.lower() for cell in row]
    paths = [place for place, cell in enumerate(lower) if cell in HEAD]
    labels = [place for place, cell in enumerate(lower) if cell in LABEL]
    if paths and labels:
        return paths[0], labels[0]
    return (0, 1) if lower[0] in HEAD and len(row) == 2 else None


def cells(line: str, name: str) -> list[str]:
    """The columns of a line of a file of this name; in a .txt the last stands after a space."""
    if ".txt" in name:
        cells = line.rsplit(maxsplit=1)
    else:
        cells = next(csv.reader([line], delimiter="\t" if ".tsv" in name else ","), [])
    return [cell.strip() for cell in cells] or [""]
