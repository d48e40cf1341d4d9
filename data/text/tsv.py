"""A file a split, two columns with a tab between them: NAME/SPLIT.tsv, or NAME itself, a .tsv file that is all "train".

A first line that names the columns may stand above them, and lets there be others beside them. Quotation marks are
text: nothing is quoted or escaped.
"""

import re
from pathlib import Path

import storage
from data.slices import cut, stem
from data.sources import numbered
from data.text.files import find, lines, two
from errors import UserError, nearest


def pairs(name: str, split: str, data_dir: str, languages: tuple[str, ...]) -> list[tuple[str, str]]:
    """The source's column and the target's, in this order, or as a first line with both languages' names says."""
    path = _path(name, split, data_dir)
    return cut(_columns(path, lines(path), two(languages)), split, str(path))


def labelled(
    name: str, split: str, data_dir: str, field: str, label: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Columns `text` (or `sentence`, or `field`) and `label`. Labels are all integers from 0 on, or else names, which
    are sorted.
    """
    path = _path(name, split, data_dir)
    found = lines(path)
    texts, names = zip(*_columns(path, found, (field or _text(found), label)), strict=True)
    if all(re.fullmatch("-?[0-9]{1,18}", one) for one in names):
        labels = [int(one) for one in names]
        classes = numbered(max(labels), str(path))
    else:
        classes = tuple(sorted(set(names)))
        place = {one: i for i, one in enumerate(classes)}
        labels = [place[one] for one in names]
    if min(labels) < 0 or "" in classes:
        unlabelled = next(i for i, one in enumerate(names) if one == "" or labels[i] < 0)
        raise UserError(f"{path}: example {unlabelled} has label {names[unlabelled]!r}: this split is not labelled.")
    part = cut(list(zip(texts, labels, strict=True)), split, str(path))  # after the classes, which are the whole's
    return [text for text, _ in part], [number for _, number in part], classes


def column(name: str, split: str, data_dir: str, field: str) -> list[str | float]:
    """The texts of a column that the first line names."""
    path = _path(name, split, data_dir)
    found = lines(path)
    field = field or _text(found)
    if field.lower() not in _cells(found[0]):
        raise UserError(f"{path}: its first line names no column {field!r}: {nearest(field.lower(), _cells(found[0]))}")
    return cut([value for value, _ in _columns(path, found, (field, field))], split, str(path))


def _text(found: list[str]) -> str:
    """What a file calls its texts."""
    return "sentence" if "sentence" in _cells(found[0]) else "text"


def _path(name: str, split: str, data_dir: str) -> Path:
    path, whole = storage.here(data_dir, name), stem(split)
    if path.suffix != ".tsv":
        return find(path, whole, "{}.tsv")
    if whole != "train":
        raise UserError(
            f"{path} is one file, whose only split is 'train', not {whole!r}: take parts, 'train[:90%]' and "
            "'train[90%:]'."
        )
    return find(path.parent, "", path.name)


def _cells(line: str) -> list[str]:
    return [cell.strip().lower() for cell in line.split("\t")]


def _columns(path: Path, found: list[str], names: tuple[str, str]) -> list[tuple[str, str]]:
    """The columns of these names or, where the first line has neither name, the only two."""
    head = _cells(found[0])
    missing = [name for name in names if name.lower() not in head]
    if len(missing) == 1:
        raise UserError(f"{path}: its first line names no column {missing[0]!r}: {nearest(missing[0], head)}")
    first, second = (0, 1) if missing else (head.index(name.lower()) for name in names)
    width, begin = (2, 0) if missing else (len(head), 1)
    rows = [line.split("\t") for line in found[begin:]]
    for number, row in enumerate(rows, begin + 1):
        if len(row) != width:
            raise UserError(
                f"{path}, line {number} has {len(row)} columns, not {width}: {names[0]} and {names[1]} with one tab "
                "between them, or columns that the first line names."
            )
    if not rows:
        raise UserError(f"{path} is empty below its first line.")
    return [(row[first], row[second]) for row in rows]
