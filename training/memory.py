"""What the training step takes of a device's memory, as its compiler planned it."""

from typing import Any


def peak(train_step: Any, state: Any, batch: Any) -> int:
    """Bytes of one device: the step's arguments, results and temporaries, but for results that take an argument's place.

    After a step of these shapes jax has the program of a mesh and compiles nothing; before one, and by pmap always, it is
    compiled here. The arguments are only looked at. A GPU's or TPU's allocator takes some more, a CPU's libraries too.
    """
    found = train_step.lower(state, batch).compile().memory_analysis()
    return int(
        found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes - found.alias_size_in_bytes
    )
