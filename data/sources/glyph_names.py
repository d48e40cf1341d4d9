"""Letters of matplotlib's fonts with their Unicode names. Some combinations of a letter and a mark are held out: who
has seen E WITH GRAVE and A WITH ACUTE should know E WITH ACUTE.

Example i of a split is drawn from i alone, as data/sources/glyphs.py does; there is nothing to download.
"""

import unicodedata
from collections import Counter
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from data.order import Tensor, tensorflow
from data.sources import Example, Feature, Features, Made, glyphs
from errors import UserError, nearest

SIDE, CANVAS = 32, 40  # pixels of an image, and of what it shows of a character's picture
SIZES = {"train": 1_000_000, "validation": 10_000, "test": 10_000}
SCRIPTS = ("latin", "greek", "cyrillic", "armenian", "georgian")
EVERY = 4  # of the combinations that can be held out, one in so many is


class Letters(NamedTuple):
    """seen: characters to learn from. held_out: combinations whose letter and mark each occur in `seen`, and never
    together."""

    seen: tuple[str, ...]
    held_out: tuple[str, ...]


class Source(Made):
    """`name` is a script or several, "latin" or "latin+greek". Examples have `image` and `label`, whose classes are
    Unicode's names, in small letters.

    "train" and "validation" have the letters that are seen, of other draws; "test" those that are held out.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str = "",
        memory_limit_mb: int = 0,
        wanted: tuple[str, ...] | None = None,
    ):
        scripts = tuple(name.split("+"))
        for script in scripts:
            if script not in SCRIPTS:
                raise UserError(
                    f"config.data.name={name!r}: glyph_names is named by scripts: {nearest(script, SCRIPTS)}"
                )
        super().__init__(split, SIZES, "glyph_names")
        found = letters(scripts)
        self._characters = found.held_out if self._split == "test" else found.seen
        if not self._characters:
            raise UserError(f"config.data.name={name!r}: no combination of these letters can be held out: add latin.")
        names = tuple(unicodedata.name(one).lower() for one in self._characters)
        self.features: Features = {"image": Feature("image", (SIDE, SIDE, 1)), "label": Feature("label", (), names)}
        self.notes = (f"{name}: {len(found.seen)} letters are learned from, and {len(found.held_out)} are held out.",)

    def read(self, index: Tensor) -> Example:
        """Each is of character i modulo C, of one of its faces, changed."""
        tf = tensorflow()
        index = index + self._first
        image = glyphs.drawn(self._characters, index, self._number, SIDE, CANVAS)
        return {"image": image, "label": tf.math.floormod(index, len(self._characters))}

    def labels(self) -> Int[np.ndarray, " n"]:
        """See Labelled."""
        return (self._first + np.arange(self.size)) % len(self._characters)


@cache
def letters(scripts: tuple[str, ...]) -> Letters:
    """The letters of these scripts that most faces have and that look like no other, in the order of their codes."""
    found = [one for one in glyphs.characters() if unicodedata.category(one) in ("Lu", "Ll")]
    found = sorted(one for one in found if unicodedata.name(one, "").split(" ")[0].lower() in scripts)
    parts = {one: _parts(one) for one in found}
    letter, mark = (Counter(part[i] for part in parts.values() if part[i]) for i in (0, 1))
    held: list[str] = []
    candidates = [one for one in found if parts[one][1]]
    for place, one in enumerate(candidates):
        base, with_mark = parts[one]
        # Each part must stay among the letters that are seen, the mark with at least two of them.
        if place % EVERY == 0 and letter[base] > 1 and mark[with_mark] > 2:
            held.append(one)
            letter[base] -= 1
            mark[with_mark] -= 1
    return Letters(tuple(one for one in found if one not in held), tuple(held))


def _parts(character: str) -> tuple[str, str]:
    """ "LATIN SMALL LETTER E" and "ACUTE"; "" for no mark."""
    letter, _, mark = unicodedata.name(character).partition(" WITH ")
    return letter, mark
