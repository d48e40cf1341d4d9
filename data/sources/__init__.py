"""Sources of examples, by name: `open("tfds", ...)` is `data/sources/tfds.py`'s `Source(...)`.

An example is a dictionary of features: an image, a label, boxes, a mask, a clip, a text. A pipeline asks for those it
needs. Random access makes a run resumable at no cost: example i can be read without the i before it. A source that can
only be read in order says so and is streamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np

import lookup
from data.order import Dataset, Tensor
from data.slices import made, stem
from errors import UserError, nearest

Kind: TypeAlias = Literal["image", "clip", "label", "text", "boxes", "array"]


@dataclass(frozen=True)
class Feature:
    """What one entry of an example is.

    Attributes:
      kind: "image" is uint8 (height, width, channels); "clip" is uint8 (frames, height, width, channels); "label" is
        int64; "text" is bytes in UTF-8; "boxes" are float32 (n, 4) as (ymin, xmin, ymax, xmax) from 0 to 1.
      shape: of one example, None for a side that varies.
      names: of the classes 0 ... C - 1 of a label, or of the pixels of a label map.
      numbers: what the set's files call these classes; () where it is 0 ... C - 1 too.
      encoded: the example has an image's file (bytes of a JPEG, PNG, ...) and not its pixels.
    """

    kind: Kind
    shape: tuple[int | None, ...] = ()
    names: tuple[str, ...] = ()
    encoded: bool = False
    numbers: tuple[int, ...] = ()

    @property
    def called(self) -> tuple[int, ...]:
        """What the set's files call the classes."""
        return self.numbers or tuple(range(len(self.names)))


Features: TypeAlias = Mapping[
    str, Union[Feature, "Features"]
]  # nested where a set nests them: objects, which have boxes
Example: TypeAlias = dict[str, Tensor]  # tensors by feature, nested in the same way


class Source(Protocol):
    """One split of a data set. Indices are int64 TensorFlow tensors; methods run inside tf.data's graphs.

    One that can change between two runs has a method `contents` too: see the function of this name.

    Attributes:
      size: examples.
      features: what an example has.
      random_access: whether examples can be read by index.
      notes: lines for a person on what was left out and why.
    """

    size: int
    features: Features
    random_access: bool
    notes: tuple[str, ...]

    def read(self, index: Tensor) -> Example:
        """The raw examples of indices (b,): a dict of tensors (b, ...)."""

    def parse(self, raw: Example) -> Example:
        """One raw example -> its features."""

    def stream(self, host: int, hosts: int, seed: int, skip: int, buffer: int) -> Dataset:
        """Without random access only: this host's raw examples, endless, shuffled with a buffer, `skip` passed over."""

    def in_order(self, host: int, hosts: int) -> Dataset:
        """Without random access only: this host's raw examples once, in order, each with its place in the split."""

    def describe(self, index: int) -> str:
        """What an error calls example `index`: its file, or its place in the split."""


@runtime_checkable
class Labelled(Protocol):
    """A source that knows the labels of its examples without reading them."""

    def labels(self) -> np.ndarray | None:
        """`label` of every example, int (n,); None where only reading the examples shows them."""


class Indexed:
    """The base of sources that are read by index alone. `parse` is for those whose raw examples are not features."""

    random_access = True
    notes: tuple[str, ...] = ()

    def parse(self, raw: Example) -> Example:
        """The features, as they are."""
        return raw

    def stream(self, host: int, hosts: int, seed: int, skip: int, buffer: int) -> Dataset:
        """Never called: the source is read by index."""
        raise NotImplementedError

    def in_order(self, host: int, hosts: int) -> Dataset:
        """Never called: the source is read by index."""
        raise NotImplementedError

    def describe(self, index: int) -> str:
        """An example by its place."""
        return f"example {index}"


class Made(Indexed):
    """The base of sources that make each example from its number alone: `_first` + i of split number `_number`.

    Args:
      split: "train", or a part of one.
      sizes: examples of each whole split.
      what: the set's name in errors.

    Raises:
      UserError: there is no such split.
    """

    def __init__(self, split: str, sizes: Mapping[str, int], what: str) -> None:
        numbers = made(split, sizes, what)
        self._what, self._split = what, stem(split)
        # `list` may be the source of that name here
        self._first, self._number, self.size = numbers.start, [*sizes].index(self._split), len(numbers)

    def describe(self, index: int) -> str:
        """An example by its place in the whole split."""
        return f"example {self._first + index} of {self._what}, {self._split}"


def open(
    source: str,
    name: str,
    split: str,
    data_dir: str = "",
    memory_limit_mb: int = 1024,
    wanted: tuple[str, ...] | None = None,
    label: str = "label",
) -> Source:
    """One split of the data set that config.data names.

    Args:
      source: a module of data/sources.
      name: the set's name there, or a path.
      data_dir: where TFDS sets lie; "" for TFDS's own default.
      memory_limit_mb: the largest split, in MiB, that is held in memory.
      wanted: features that examples must have, and no others; None for all there are.
      label: which feature of a TFDS set is its `label`, or what is asked of its images: see data/labels.py.
    """
    make = lookup.find("data.sources", "Source", source)
    if label != "label" and source != "tfds":
        raise UserError(
            f"config.data.label={label!r} is for TFDS sets: the label of source={source!r} has no other name."
        )
    asked = {"label": label} if source == "tfds" else {}
    return make(name=name, split=split, data_dir=data_dir, memory_limit_mb=memory_limit_mb, wanted=wanted, **asked)


def contents(source: Source) -> dict[str, str]:
    """What a split consists of, by name: sizes or digests, found without reading it. See data/fingerprint.py."""
    return getattr(source, "contents", dict)()


def chosen(features: Features, wanted: tuple[str, ...] | None, what: str) -> Features:
    """The features that are asked for.

    Raises:
      UserError: one that `what` does not have.
    """
    for name in wanted or ():
        if name not in features:
            raise UserError(f"{what} has no {name}: {nearest(name, features)}")
    return features if wanted is None else {name: features[name] for name in wanted}


MOST_CLASSES = 2**20  # of labels that are numbers


def numbered(highest: int, what: str) -> tuple[str, ...]:
    """The names "0", "1", ... of classes that have no others.

    Args:
      highest: the highest label. what: has it, in the error.

    Raises:
      UserError: it is no number of a class.
    """
    if highest >= MOST_CLASSES:
        raise UserError(
            f"{what} has label {highest}: labels count the classes from 0 on, {MOST_CLASSES:,} of them at most."
        )
    return tuple(map(str, range(highest + 1)))


def classes(source: Source) -> tuple[str, ...]:
    """The names of the classes of `label`."""
    label = source.features["label"]
    assert isinstance(label, Feature)
    return label.names


def shape(source: Source, name: str = "image") -> tuple[int | None, ...] | None:
    """The shape of every image where examples have pixels; None where they have files, whose sizes are not known."""
    image = source.features.get(name)
    return image.shape if isinstance(image, Feature) and not image.encoded else None
