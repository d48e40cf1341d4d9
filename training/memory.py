"""What the training step takes of a device's memory, as its compiler planned it."""

import math
from typing import Any

import numpy as np


def peak(train_step: Any, state: Any, batch: Any) -> int:
    """Bytes of one device: the step's arguments, results and temporaries, but for results that take an argument's place.

    After a step of these shapes jax has the program of a mesh and compiles nothing; before one, and by pmap always, it is
    compiled here. The arguments are only looked at. A GPU's or TPU's allocator takes some more, a CPU's libraries too.
    """
    found = train_step.lower(state, batch).compile().memory_analysis()
    return int(
        found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes - found.alias_size_in_bytes
    )


def memory(run: Any) -> int:
    """The `peak` of an experiment.Run on the largest batch of its training split, without a step taken."""
    shapes = max((shapes for _, shapes in run.pipeline.shapes), key=_elements)
    hosts = run.devices.feed[1]
    empty = {name: np.zeros((shape[0] // hosts, *shape[1:]), dtype) for name, (shape, dtype) in shapes.items()}
    return peak(run.train_step, run.initialise(), run.devices.put(empty))


def _elements(shapes: dict[str, tuple[tuple[int, ...], str]]) -> int:
    return sum(math.prod(shape) for shape, _ in shapes.values())
