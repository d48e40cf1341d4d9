"""What reading and writing share: the rows of a table that are used, as their arrays go from one side to the other."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from weights.ours import TOKENS, Index
from weights.tables import PLACE, Row, Table, spell


class Move(NamedTuple):
    """What became of the arrays of one row.

    Attributes:
      arrays: how many there are.
      theirs, ours: the patterns of names.
      change: what was done to each; "" for nothing.
      before, after: the shape of the first.
    """

    arrays: int
    theirs: str
    ours: str
    change: str
    before: tuple[int, ...]
    after: tuple[int, ...]


def letters(table: Table, pattern: str, index: Index) -> list[str]:
    """The letters of the shape of one of our parameters."""
    shape = table.family.shapes[pattern]
    return (shape if isinstance(shape, str) else shape(dict(index))).split()


def vocabulary(table: Table, places: list[tuple[Row, Index]]) -> dict[str, int]:
    """The parameters with an axis of tokens, by flat name, and which axis that is."""
    shapes = {spell(name, index): letters(table, name, index) for row, index in places for name in row.names}
    return {name: letters.index(TOKENS) for name, letters in shapes.items() if TOKENS in letters}


def moves(
    places: list[tuple[Row, Index]], theirs: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]
) -> tuple[Move, ...]:
    """Every row that is used, with what became of its arrays."""
    found: dict[Row, Move] = {}
    for row, index in places:
        if row in found:
            found[row] = found[row]._replace(arrays=found[row].arrays + 1)
            continue
        words = zip(*(PLACE.sub("*", name).split("/") for name in row.names), strict=True)
        names = "/".join("|".join(dict.fromkeys(word)) for word in words)
        before, after = theirs[spell(row.theirs, index)].shape, own[spell(row.names[0], index)].shape
        found[row] = Move(1, PLACE.sub("*", row.theirs), names, row.change.name, before, after)
    return tuple(found.values())


def first(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    return repr(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
