"""Our models by the names and shapes of their parameters: from these a file's size is told.

A shape is a row of letters, which stand for the same size wherever they stand in a model, and of numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isqrt

import numpy as np

from lookup import Json

TOKENS = "V"  # the letter of a vocabulary, and of nothing else
Settings = Json  # keys of config.model
Index = tuple[tuple[str, int], ...]  # of a layer: (("block", 3),), or (("stage", 0), ("unit", 2))
Indices = set[Index]  # that a file has
Shape = str | Callable[[Mapping[str, int]], str]  # the same for all indices, or by index
Theirs = Callable[[str], np.ndarray]  # the file's array for one of our parameters, "encoder/block_00/mlp/expand/kernel"


@dataclass(frozen=True)
class Described:
    """A model as its weights show it.

    Attributes:
      settings: the keys of config.model that they decide.
      variant: "B/16"; "" for a size that is not published.
      words: the model for a person.
      classes: C; 0 without a head.
      channels: of the image.
      patches: how many the weights are for; 0 where any image will do.
      side: of a patch in pixels.
    """

    settings: Settings
    variant: str
    words: str
    classes: int
    channels: int
    patches: int = 0
    side: int = 1

    @property
    def image_size(self) -> int | None:
        """That the weights are for; 0 where any will do, None where it is not square."""
        rows = isqrt(self.patches)
        return rows * self.side if rows**2 == self.patches else None


@dataclass(frozen=True)
class Family:
    """One of our models.

    Attributes:
      words: for a person, with its article.
      shapes: by the patterns of names.
      optional: parts (first words of names) that it may be without.
      describe: (sizes by letter, which indices there are, parts that are there) -> Described.
      name: config.model.name.
      heads: their array of a parameter -> how many heads a published model like this has or, of families whose
        changes are BY_SIZE, how large a head is; 0 where nothing shows it.
      configs: the config of a run that is made of such weights, by the end of the class that config.json names
        ("ForMaskedLM"); "" is any class.
    """

    words: str
    shapes: Mapping[str, Shape]
    optional: tuple[str, ...]
    describe: Callable[[Mapping[str, int], Indices, set[str]], Described]
    name: str
    heads: Callable[[Theirs], int] = lambda theirs: 0
    configs: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads_text(self) -> bool:
        """Whether it has a vocabulary."""
        return any(TOKENS in shape.split() for shape in self.shapes.values() if isinstance(shape, str))


def depth(indices: Indices, place: str = "block") -> int:
    """How many layers there are, by the index that counts them."""
    return 1 + max(dict(index).get(place, -1) for index in indices)


def stages(indices: Indices) -> tuple[int, ...]:
    """How many units each stage has."""
    units = {(dict(index)["stage"], dict(index)["unit"]) for index in indices if "unit" in dict(index)}
    return tuple(1 + max(u for s, u in units if s == stage) for stage in sorted({s for s, _ in units}))


def named(name: str, variant: str, fields: Mapping[str, object]) -> tuple[Settings, str]:
    """The settings that give a model its size, and the words for it."""
    written = ", ".join(f"{key} {'+'.join(map(str, v)) if isinstance(v, tuple) else v}" for key, v in fields.items())
    return {"variant": variant} if variant else dict(fields), f"{name}{f'-{variant}' if variant else ''} ({written})"
