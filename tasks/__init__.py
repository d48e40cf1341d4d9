"""Tasks by name: `build("classify", ...)` is `tasks/classify.py`'s `Task(...)`.

A task says what is learned: `sums(apply, batch, train)` returns {name: (weighted sum, weight)} with "loss" and every
metric. Sums are added over devices, micro-batches and hosts and divided once, so that padding, accumulation and any
number of devices give the same figures.
"""

from collections.abc import Callable
from typing import Any, Protocol

import jax

import lookup

Sums = dict[str, tuple[jax.Array, jax.Array]]
Apply = Callable[..., jax.Array]  # the model with its parameters: apply(*inputs) -> outputs


class Task(Protocol):
    """A task whose model writes has also `generate` and `score`: see tasks/translate.py."""

    unit: str  # what the loss is a mean of: "images"

    def sums(self, apply: Apply, batch: dict[str, jax.Array], train: bool) -> Sums:
        """The loss and the metrics of one batch, each as (weighted sum, weight)."""

    def summaries(self, scores: dict[str, float]) -> dict[str, float]:
        """Figures that follow from the means of a whole split."""


def build(name: str, **arguments: Any) -> Task:
    """The task of config.task."""
    return lookup.call("config.task", lookup.find("tasks", "Task", name), arguments)
