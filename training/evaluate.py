"""Metrics of a whole split: sums over all batches, divided once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np

from training.trees import Batch, Sums, Totals, Variables

# Steps queued on the device: enough to keep it busy, few enough for their batches to fit and to answer a signal soon.
AHEAD = 2
T = TypeVar("T")
HostSums = Mapping[str, tuple[np.ndarray, np.ndarray]]  # Sums of one batch, fetched


def evaluate(
    eval_step: Callable[[Variables, Batch], Sums],
    fetch: Callable[[Sums], HostSums],
    variables: Variables,
    batches: Iterable[Batch],
) -> Totals:
    """The task's sums over the examples of `batches` that are not padding. See `means` and the task's `summaries`."""
    return totals([fetch(sums) for sums in ahead(eval_step(variables, batch) for batch in batches)])


def ahead(results: Iterable[T]) -> Iterator[T]:
    """The same results, each handed on when AHEAD further ones are asked for: devices compute while the host reads."""
    queued: deque[T] = deque()
    for result in results:
        queued.append(result)
        if len(queued) > AHEAD:
            yield queued.popleft()
    yield from queued


def totals(sums: Sequence[HostSums]) -> Totals:
    """Adds the sums of all batches in float64. Both parts of a pair may be arrays, which are added by element."""
    if not sums:
        return {}
    return dict(jax.tree.map(lambda *x: np.sum(np.asarray(x, np.float64), axis=0), *sums))


def means(totals: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """sum / weight of each pair of scalars. Pairs without weight have no mean and are omitted, as are arrays."""
    scalars = {name: pair for name, pair in totals.items() if np.ndim(pair[0]) == 0 and np.ndim(pair[1]) == 0}
    return {name: float(value / weight) for name, (value, weight) in scalars.items() if weight}
