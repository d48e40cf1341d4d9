"""Images that a list names: NAME/SPLIT.csv, .tsv or .txt, one path and one class a line."""

import csv
import re
from pathlib import Path

from data.slices import cut, stem
from data.sources import numbered
from data.sources.folder import Files
from data.text.files import find, lines
from errors import UserError

HEAD = ("path", "file", "filename", "image")  # what a first line can call the first column


class Source(Files):
    """Paths begin at the list's folder. Classes are all integers from 0 on, or else names, which are sorted. In a .txt
    a space stands before the class; a first line "path,class" is passed over, and so are empty lines.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        folder = Path(data_dir, name).expanduser()
        path = find(folder, stem(split), "{}.csv", "{}.tsv", "{}.txt")
        rows = []
        for number, line in enumerate(lines(path), 1):
            row = cells(line, path.name)
            if (number == 1 and row[0].lower() in HEAD) or not line.strip():
                continue
            if len(row) != 2 or not all(row):
                raise UserError(f"{path}, line {number}: it should be a path and a class: {line[:60]!r}.")
            rows.append(row)
        if not rows:
            raise UserError(f"{path} is empty.")
        labels = [label for _, label in rows]
        if all(re.fullmatch("[0-9]{1,18}", label) for label in labels):
            classes = numbered(max(map(int, labels)), str(path))
        else:
            classes = tuple(sorted(set(labels)))
        place = {label: i for i, label in enumerate(classes)}
        files = [(str(folder / file), place[label]) for file, label in rows]
        self._hold(cut(files, split, str(path)), classes, wanted, str(path), folder)


def cells(line: str, name: str) -> list[str]:
    """The columns of a line of a file of this name; in a .txt the last stands after a space."""
    if ".txt" in name:
        cells = line.rsplit(maxsplit=1)
    else:
        cells = next(csv.reader([line], delimiter="\t" if ".tsv" in name else ","), [])
    return [cell.strip() for cell in cells] or [""]
