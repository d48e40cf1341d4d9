"""From config.data to batches: what every pipeline offers.

The step is the only state. Which examples batch k holds, and every random choice made about them, follow from the seed
and k alone. So a run that starts at step k reads what the uninterrupted run would have read, at once, and each host
reads its slice and no more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import lookup

Batch = dict[str, np.ndarray]
Shapes = dict[str, tuple[tuple[int, ...], str]]  # entry of a batch -> shape and dtype


class Pipeline(Protocol):
    """The input of a run. Batches are dicts of NumPy arrays, this host's share of each global batch."""

    eval_splits: tuple[str, ...]
    skipped: int  # training examples that were passed over since the start, because they could not be read

    @property
    def sizes(self) -> dict[str, int | None]:
        """What the model must be sized to: `outputs` and what else its builder takes from the data."""

    @property
    def known(self) -> dict[str, Any]:
        """What a trained run must still know of its data, as JSON."""

    @property
    def files(self) -> dict[str, bytes]:
        """The same, as files of the workdir."""

    @property
    def steps_per_epoch(self) -> float: ...

    @property
    def example(self) -> Shapes:
        """One row of a batch, without looking at the data."""

    @property
    def shapes(self) -> list[tuple[float, Shapes]]:
        """Every shape that a global training batch can have, each with its share of an epoch's batches."""

    def describe(self) -> list[str]:
        """Lines for a person: how much there is, what was left out and why."""

    def notes(self) -> list[str]:
        """The same of the evaluation splits that were read."""

    def check(self) -> None:
        """Everything about evaluation that can be known before the first step; a UserError if it cannot be."""

    def train_batches(self, start: int) -> Iterator[Batch]:
        """Training batches from step `start` (0 is the first) on, for ever."""

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Every example of a split exactly once; what fills up the last batch weighs nothing."""


def build(
    kind: str,
    *,
    seed: int,
    host: int,
    hosts: int,
    divisor: int,
    accumulate: int,
    known: dict[str, Any] | None,
    folder: Path,
    **arguments: Any,
) -> Any:
    """The pipeline of config.data.

    Args:
      kind: a module of data/pipelines. arguments: what its `make` takes.
      seed: of order and augmentation. host, hosts: whose slice this is.
      divisor: the devices, by which every batch must divide; training batches also by `accumulate` micro-batches.
      known: of a trained run, what its own pipeline said; None for a new one. folder: where its files are.
    """
    return lookup.call(
        "config.data",
        lookup.find("data.pipelines", "make", kind),
        arguments,
        seed=seed,
        host=host,
        hosts=hosts,
        divisor=divisor,
        accumulate=accumulate,
        known=known,
        folder=folder,
    )
