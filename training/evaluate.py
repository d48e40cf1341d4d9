"""Scores of a whole split: sums over all batches, divided once."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np


def evaluate(
    eval_step: Callable[[Any, Any], Any], fetch: Callable[[Any], Any], params: Any, batches: Iterable[Any]
) -> dict[str, float]:
    """Mean of every metric of the task over the examples of `batches` that are not padding."""
    pending = [eval_step(params, batch) for batch in batches]
    return means([fetch(sums) for sums in pending])


def means(sums: list[dict[str, tuple[Any, Any]]]) -> dict[str, float]:
    """Adds (weighted sum, weight) pairs in float64 and divides; what has no weight has no mean and is left out."""
    total = jax.tree.map(lambda *x: np.sum(np.asarray(x, np.float64)), *sums)
    return {name: float(value / weight) for name, (value, weight) in total.items() if weight}
