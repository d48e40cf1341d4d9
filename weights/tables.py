"""Two names for the same weights, side by side. A table is read in both directions, so that import and export agree.

A pattern is a name with places for indices that count from 0: "encoder/block_{block:02}/norm/scale", "unit{unit+1}".
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lookup import Json as Json
from weights.ours import Family, Index, Settings

PLACE = re.compile(r"\{(\w+)(\+1)?(:02)?\}")


class Change(NamedTuple):
    """What is done to an array.

    Attributes:
      name: as a person is told it; "" for nothing.
      ours: (their array, heads H) -> our arrays, as many as the row has names.
      theirs: our arrays -> their array.
    """

    name: str
    ours: Callable[[np.ndarray, int], tuple[np.ndarray, ...]]
    theirs: Callable[..., np.ndarray]


@dataclass(frozen=True)
class Row:
    """Their name of one of our parameters, or of several that they keep as one.

    Attributes:
      ours: our pattern, or our patterns.
      theirs: their pattern.
      change: what is done to the array.
      needed: whether there is such a parameter at these indices.
    """

    ours: str | tuple[str, ...]
    theirs: str
    change: Change
    needed: Callable[[Mapping[str, int]], bool] = lambda index: True

    @property
    def names(self) -> tuple[str, ...]:
        """Our names of the row."""
        return (self.ours,) if isinstance(self.ours, str) else self.ours


@dataclass(frozen=True)
class Table:
    """All parameters of one of our models by one scheme's names.

    Attributes:
      scheme: "google".
      family: which of our models.
      settings: keys of config.model that the scheme decides, such as its form of GELU.
      elsewhere: how each of them is set in the other project.
      optional: the parts (first words of our names) that a file may be without.
      ignored: patterns of their names that are left out, as nothing of the model depends on them, and why.
      fixed: keys of config.model that cannot be otherwise in the other project.
      copies: their names of arrays that a file may hold a second time, and those that they must equal.
      never: values of keys of config.model that the other project has no form for.
      derived: (their arrays by name, config.model; nothing where a file is read) -> those that they have as well.
      data: their arrays by name -> keys of config.data that these show.
      surplus: (their names, the class that config.json names) -> those that this model has no use for, and why.
    """

    scheme: str
    family: Family
    settings: Settings
    elsewhere: Mapping[str, str]
    rows: tuple[Row, ...]
    optional: tuple[str, ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)
    fixed: Settings = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    never: Settings = field(default_factory=dict)
    derived: Callable[[Mapping[str, np.ndarray], Settings], Mapping[str, np.ndarray]] = lambda arrays, model: {}
    data: Callable[[Mapping[str, np.ndarray]], Settings] = lambda arrays: {}
    surplus: Callable[[Collection[str], str], Mapping[str, str]] = lambda names, architecture: {}

    @cached_property
    def _theirs(self) -> list[tuple[re.Pattern[str], Row]]:
        return [(_regex(row.theirs), row) for row in self.rows]

    @cached_property
    def _ours(self) -> list[tuple[re.Pattern[str], Row]]:
        return [(_regex(name), row) for row in self.rows for name in row.names]

    def by_theirs(self, names: Iterable[str]) -> tuple[dict[str, tuple[Row, Index]], list[str]]:
        """Their names -> rows and indices; and the names that are in no row."""
        return _sorted_out(self._theirs, names)

    def recognises(self, names: Collection[str]) -> bool:
        """Whether at least half of their names are of its rows, or are left out on purpose."""
        known, unknown = self.by_theirs(names)
        return 2 * (len(known) + len(self.unused(unknown))) >= len(names)

    def fit(self, names: Iterable[str]) -> tuple[int, int]:
        """How many of their names it knows and, the less the better, how many it misses."""
        known, _ = self.by_theirs(names)
        return len(known), len(known) - len(self.places(known.values()))

    def by_ours(self, names: Iterable[str]) -> tuple[dict[str, tuple[Row, Index]], list[str]]:
        """The same of our names."""
        return _sorted_out(self._ours, names)

    def clashes(self, model: Settings) -> int:
        """How many keys of config.model differ from those that the other project always has."""
        return sum(model.get(key, value) != value for key, value in self.fixed.items())

    def layers(self, places: Iterable[tuple[Row, Index]]) -> dict[str, int]:
        """How many layers there are, by the index that counts them."""
        counts: dict[str, int] = {}
        for _, index in places:
            counts |= {name: max(counts.get(name, 0), number + 1) for name, number in index}
        return counts

    def theirs(self, ours: str) -> str:
        """Their name of one of our parameters, "encoder/block_00/mlp/expand/kernel"."""
        known, _ = self.by_ours([ours])
        row, index = known[ours]
        return spell(row.theirs, index)

    def unused(self, names: Iterable[str]) -> dict[str, str]:
        """Those of their names that are to be left out, and why."""
        found = {name: f"the same as {self.copies[name]}" for name in names if name in self.copies}
        for name in names:
            for pattern, why in self.ignored.items():
                if re.fullmatch(pattern, name):
                    found[name] = why
        return found

    def places(self, found: Iterable[tuple[Row, Index]]) -> list[tuple[Row, Index]]:
        """The rows, with indices, that a model should have if it has those `found`, in the table's order."""
        found = set(found)
        parts = {name.split("/")[0] for row, _ in found for name in row.names}
        seen: dict[tuple[str, ...], set[tuple[int, ...]]] = {}
        for row, index in found:
            seen.setdefault(_fields(row), set()).add(tuple(value for _, value in index))
        places = []
        for row in self.rows:
            part = row.names[0].split("/")[0]
            if part in self.optional and part not in parts:
                continue
            fields = _fields(row)
            for values in _filled(seen.get(fields, set())) if fields else [()]:
                index = tuple(zip(fields, values, strict=True))
                if row.needed(dict(index)):
                    places.append((row, index))
        return places


class Beside(NamedTuple):
    """What is known of weights besides their arrays.

    Attributes:
      heads: H, or None.
      settings: keys of config.model.
      names: of the classes.
      notes: for a person.
      grid: rows and columns of an image's patches, or None.
      data: keys of config.data without which the model would be given something else than it was trained on.
    """

    heads: int | None = None
    settings: Settings = {}
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None
    data: Settings = {}


class Kind(NamedTuple):
    """A model_type of Hugging Face's config.json.

    Attributes:
      tables: of its names, one for each form in which it is published.
      sizes: keys of config.json, and the letter of our shapes, or the index of our names, that each is the size of.
      read: what a config.json says of the model. A key that is missing or of another type may raise.
      write: (config.model, names of the classes, sizes by letter) -> the config.json that transformers opens.
      weights: the file of a folder that has the weights; config.json is beside it.
      others: names of the classes -> further files of the folder, by name.
    """

    tables: tuple[Table, ...]
    sizes: Mapping[str, str]
    read: Callable[[Json], Beside]
    write: Callable[[Settings, Sequence[str], Mapping[str, int]], Json]
    weights: str = "model.safetensors"
    others: Callable[[Sequence[str]], Mapping[str, Json]] = lambda names: {}


def spell(pattern: str, index: Index) -> str:
    """The name that a pattern gives with these indices."""
    values = dict(index)
    return PLACE.sub(lambda m: f"{values[m[1]] + bool(m[2]):{'02' if m[3] else ''}}", pattern)


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_escaped(pattern)))


def _escaped(pattern: str) -> Iterable[str]:
    end = 0
    for place in PLACE.finditer(pattern):
        yield re.escape(pattern[end : place.start()]) + rf"(?P<{place[1]}{'_1' if place[2] else ''}>\d{{1,4}})"
        end = place.end()
    yield re.escape(pattern[end:])


def _sorted_out(
    patterns: list[tuple[re.Pattern[str], Row]], names: Iterable[str]
) -> tuple[dict[str, tuple[Row, Index]], list[str]]:
    known: dict[str, tuple[Row, Index]] = {}
    unknown = []
    for name in names:
        for pattern, row in patterns:
            if match := pattern.fullmatch(name):
                places = match.groupdict().items()
                index = tuple((k.removesuffix("_1"), int(v) - k.endswith("_1")) for k, v in places)
                if name in (spell(p, index) for p in (row.theirs, *row.names)):  # and not "block_7" for "block_07"
                    known[name] = row, index
                    break
        else:
            unknown.append(name)
    return known, unknown


def _fields(row: Row) -> tuple[str, ...]:
    return tuple(place[1] for place in PLACE.finditer(row.theirs))


def _filled(seen: set[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The indices seen and those below them: a hole in the numbers is a place as well."""
    if not seen:
        return []
    if len(next(iter(seen))) == 1:
        return [(i,) for i in range(max(seen)[0] + 1)]
    return [
        (first, *rest)
        for first in range(max(seen)[0] + 1)
        for rest in _filled({values[1:] for values in seen if values[0] == first}) or [(0,) * (len(max(seen)) - 1)]
    ]
