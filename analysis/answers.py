"""Answers as a table: predict.py --csv."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from tasks import Answer

CONFUSED = 5  # pairs of classes that are named


@dataclass(frozen=True)
class Row:
    """What was asked, the class that is known of it, by its folder or its table ("" for none), and the answer."""

    item: str
    truth: str
    answer: Answer


def write(rows: Sequence[Row], path: Path) -> list[str]:
    """Writes a table of answers, and returns lines on where it is and how many are right.

    Raises:
      UserError: the file cannot be written.
    """
    table = [dict(_columns(row)) for row in rows]
    head = list(dict.fromkeys(name for row in table for name in row))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, head)
            writer.writeheader()
            writer.writerows(table)
    except OSError as error:
        raise UserError(f"cannot write --csv={path}: {error.strerror}.") from None
    return [f"{path}: {len(rows):,} {'answer' if len(rows) == 1 else 'answers'}.", *judged(rows)]


def check(path: Path, read: Sequence[str]) -> None:
    """That a table can be written, before there are answers.

    Args:
      read: what is answered, which the table must not replace.

    Raises:
      UserError: it cannot.
    """
    if path.exists() and os.path.realpath(path) in map(os.path.realpath, read):
        raise UserError(f"--csv={path} is to be read, and would be overwritten: name another file.")
    if path.is_dir() or not next(parent for parent in path.absolute().parents if parent.exists()).is_dir():
        raise UserError(f"cannot write --csv={path}: name a file, in a folder that is there or can be made.")


def judged(rows: Sequence[Row]) -> list[str]:
    """How many are right, of those whose class is known: together, of each class, and what is confused most."""
    known = [row for row in rows if row.truth and row.answer.choice]
    if not known:
        return []
    right = [row for row in known if row.truth == row.answer.choice]
    lines = [f"{len(right):,} of {len(known):,} whose class is known are right, {len(right) / len(known):.1%}:"]
    of, own = Counter(row.truth for row in known), Counter(row.truth for row in right)
    lines += [f"  {own[name] / of[name]:6.1%}  {name} ({own[name]:,} of {of[name]:,})" for name in sorted(of)]
    wrong = Counter((row.truth, row.answer.choice) for row in known if row.truth != row.answer.choice)
    lines += [f"  {count:,} times {said} for {true}" for (true, said), count in wrong.most_common(CONFUSED)]
    return lines


def _columns(row: Row) -> Iterator[tuple[str, object]]:
    """The cells of a row: what is a list of dictionaries has a column for each, "class_1", "probability_1"."""
    yield "input", row.item
    if row.truth:
        yield "true", row.truth
    if row.answer.choice:
        yield "predicted", row.answer.choice
    for name, value in row.answer.data.items():
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for number, one in enumerate(value, 1):
                yield from ((f"{key}_{number}", _cell(cell)) for key, cell in one.items())
        else:
            yield name, _cell(value)


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value if isinstance(value, (str, int)) else json.dumps(value)
