"""Sources of labelled images, by name: `open("tfds", ...)` is `data/sources/tfds.py`'s `Source(...)`.

Random access is what makes a run resumable at no cost: example number i can be read without the i before it. A source
that can only be read in order says so and is streamed.
"""

from typing import Any, Protocol

import lookup
from errors import UserError


class Source(Protocol):
    """One split of a data set. Indices are int64 TensorFlow tensors; methods run inside tf.data's graphs."""

    size: int  # examples
    classes: tuple[str, ...]  # names of the labels 0 ... C - 1
    shape: (
        tuple[int, int, int] | None
    )  # of every image where read() gives uint8 arrays; None where it gives encoded files
    random_access: bool

    def read(self, index: Any) -> Any:
        """The raw examples of indices (b,): a dict of tensors (b, ...)."""

    def parse(self, raw: Any) -> dict[str, Any]:
        """One raw example -> {"image": encoded bytes or uint8 (height, width, channels), "label": int64}."""

    def stream(self, host: int, hosts: int, seed: int, skip: int, buffer: int) -> Any:
        """Without random access only: this host's raw examples for ever, shuffled with a buffer, `skip` passed over."""

    def in_order(self, host: int, hosts: int) -> Any:
        """Without random access only: this host's raw examples once, in order."""

    def describe(self, index: int) -> str:
        """What an error calls example `index`: its file, or its place in the split."""


def open(source: str, name: str, split: str, data_dir: str, memory_limit_mb: int, label: str = "label") -> Source:
    """One split of the data set that config.data names.

    Args:
      source: a module of data/sources. name: the set's name there, or a path. data_dir: where TFDS sets lie; "" for
        TFDS's own default. memory_limit_mb: the largest split, in MiB, that is held in memory. label: of a TFDS set,
        what is its class: see data/labels.py.
    """
    make = lookup.find("data.sources", "Source", source)
    if label != "label" and source != "tfds":
        raise UserError(
            f"config.data.label={label!r} is for TFDS sets: the label of source={source!r} has no other name."
        )
    asked = {"label": label} if source == "tfds" else {}
    return make(name=name, split=split, data_dir=data_dir, memory_limit_mb=memory_limit_mb, **asked)
