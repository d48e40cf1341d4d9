"""A table a split, CSV or TSV: NAME/SPLIT.csv (.tsv), or NAME itself, a file that is all "train".

A first line names the columns; where it names none of those that are asked for, the table has two columns and no such
line. Cells of a CSV may be quoted. A part of a file that is all "train", "train[:80%]", has about the same share of
every class, whatever the order of the lines.
"""

import csv as reader
import io
from pathlib import Path

import storage
from data.slices import cut, cut_mixed, stem
from data.sources import numbered
from data.text.files import find, two, whole
from errors import UserError, nearest

# What a first line can call the text and the class.
TEXTS = ("text", "sentence", "review", "comment", "content", "message", "tweet", "document", "headline", "title")
LABELS = ("label", "class", "category", "target", "sentiment", "topic", "intent", "rating")
NAMED = "Others: --config.data.fields=COLUMN --config.data.label=COLUMN."
SUFFIXES = (".csv", ".tsv")
END = "end of the table"  # put behind its last line: a row by itself, unless a quoted cell is still open there


def pairs(name: str, split: str, data_dir: str, languages: tuple[str, ...]) -> list[tuple[str, str]]:
    """The columns of the source's and the target's language, or the two columns in this order."""
    path, alone = _path(name, split, data_dir)
    one, other = ((language,) for language in two(languages))
    found = _columns(path, one, other, "Others: --config.data.languages=\"('COLUMN', 'COLUMN')\".")
    return cut_mixed(found, split, str(path), lambda pair: pair[0]) if alone else cut(found, split, str(path))


def labelled(
    name: str, split: str, data_dir: str, field: str, label: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """A column of texts and one of classes. Classes are all integers from 0 on, or else names, which are sorted.

    Args:
      field: the text's column; "" for one of TEXTS.
      label: the class's; "label" for one of LABELS.
    """
    path, alone = _path(name, split, data_dir)
    rows = _columns(path, (field,) if field else TEXTS, LABELS if label == "label" else (label,), NAMED)
    names = [one for _, one in rows]
    if (empty := next((i for i, one in enumerate(names) if not one), None)) is not None:
        raise UserError(f"{path}: example {empty} has no label: this split is not labelled, or the row should go.")
    if all(one.isdecimal() and len(one) < 19 for one in names):
        classes = numbered(max(map(int, names)), str(path))
    else:
        classes = tuple(sorted(set(names)))
    place = {one: i for i, one in enumerate(classes)}
    kept = cut_mixed(rows, split, str(path), lambda row: row[0], lambda row: row[1])
    kept = kept if alone else cut(rows, split, str(path))
    return [text for text, _ in kept], [place[str(int(one)) if classes[0] == "0" else one] for _, one in kept], classes


def column(name: str, split: str, data_dir: str, field: str) -> list[str | float]:
    """The texts of a column that the first line names; "" for one of TEXTS."""
    path, alone = _path(name, split, data_dir)
    head, *rows = rows_of(path)
    places = {cell.strip().lower(): i for i, cell in reversed(list(enumerate(head)))}
    names = (field,) if field else TEXTS
    if (place := next((places[one.lower()] for one in names if one.lower() in places), None)) is None:
        raise UserError(f"{path}: its first line names no column {names[0]!r}: {nearest(names[0].lower(), places)}")
    _check_lengths(rows, place, len(head), path)
    # By whole rows, so that the columns of a part belong together.
    kept = cut_mixed(rows, split, str(path), "\0".join) if alone else cut(rows, split, str(path))
    return [row[place] for row in kept]


def _path(name: str, split: str, data_dir: str) -> tuple[Path, bool]:
    """The file of a split, and whether it is all there is."""
    path, called = storage.here(data_dir, name), stem(split)
    if path.suffix not in SUFFIXES:
        return find(path, called, *(f"{{}}{suffix}" for suffix in SUFFIXES)), False
    if called != "train":
        raise UserError(
            f"{path} is one file, whose only split is 'train', not {called!r}: take parts, 'train[:90%]' and "
            "'train[90%:]'."
        )
    return find(path.parent, "", path.name), True


def rows_of(path: Path) -> list[list[str]]:
    """The rows of a table, its first line too; empty ones are left out.

    Raises:
      UserError: there are none, a cell is larger than a reader takes, or its quotation mark is not closed.
    """
    tabs = path.name.removesuffix(".gz").endswith(".tsv")
    text = io.StringIO(f"{whole(path)}\n{END}", newline="")
    try:
        if tabs:
            found = list(reader.reader(text, delimiter="\t", quoting=reader.QUOTE_NONE))
        else:
            head = text.readline()
            text.seek(0)
            found = list(reader.reader(text, delimiter=max(",;\t", key=head.count)))
    except reader.Error as error:
        raise UserError(f"{path} is no table: {error}.") from None
    *found, last = found
    if last != [END]:
        opened = last[-1].split("\n")[0][:60]
        raise UserError(f"{path} has a quotation mark that is never closed, before {opened!r}.")
    found = [row for row in found if any(cell.strip() for cell in row)]
    if not found:
        raise UserError(f"{path} is empty.")
    return found


def _columns(path: Path, first: tuple[str, ...], second: tuple[str, ...], others: str) -> list[tuple[str, str]]:
    """Two columns: those that the first line names or, where it names neither, the only two. others: how others are
    named, for a person."""
    rows = rows_of(path)
    head = [cell.strip().lower() for cell in rows[0]]
    places = [next((head.index(n.lower()) for n in names if n.lower() in head), None) for names in (first, second)]
    if places == [None, None]:
        if len(head) != 2:
            raise UserError(
                f"{path}: its first line should name the columns {first[0]!r} and {second[0]!r}, and names: "
                f"{', '.join(head)[:120]}. {others}"
            )
        a, b, begin = 0, 1, 0
    elif None in places:
        names = (first, second)[places.index(None)]
        raise UserError(f"{path}: its first line names no column {names[0]!r}: {nearest(names[0], head)}")
    else:
        a, b, begin = places[0] or 0, places[1] or 0, 1
    _check_lengths(rows[begin:], max(a, b), len(head), path, begin)
    if not rows[begin:]:
        raise UserError(f"{path} has no rows below its first line.")
    return [(row[a], row[b].strip()) for row in rows[begin:]]


def _check_lengths(rows: list[list[str]], place: int, columns: int, path: Path, above: int = 1) -> None:
    """That each row reaches the column at `place`. above: lines before the first row."""
    for number, row in enumerate(rows, above + 1):
        if len(row) <= place:
            raise UserError(f"{path}, row {number} has {len(row)} columns, not {columns}: {' '.join(row)[:60]!r}.")
