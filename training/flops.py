"""How much arithmetic and memory a step takes, and how much arithmetic a device could do."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from training.trees import Batch, PyTree, Shapes

# Dense bfloat16 peak of one JAX device, FLOP/s, from the manufacturers' data sheets.
PEAKS = {
    "TPU v2": 22.5e12,
    "TPU v3": 61.5e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "Tesla V100": 125e12,
}

MEASURED, SIZE = 0.3, 1024  # seconds and rows of the matrix product, for a device whose peak nobody states


def step_memory(train_step: jax.stages.Wrapped, state: PyTree, batch: Batch) -> int:
    """Bytes that a step takes of one device, as the compiler planned it: arguments, results and temporaries.

    Results that take an argument's place are not counted. A GPU's or TPU's allocator takes some more, a CPU's libraries
    too. The arguments are only looked at. After a step of these shapes, jax has the program of a mesh and compiles
    nothing; before one, and by pmap always, it is compiled here.
    """
    planned: Any = train_step.lower(state, batch).compile().memory_analysis()  # jax has no public type for it
    results = planned.output_size_in_bytes - planned.alias_size_in_bytes
    return int(planned.argument_size_in_bytes + planned.temp_size_in_bytes + results)


def forward(function: Callable[..., PyTree], *arguments: PyTree) -> int:
    """Floating-point operations of the matrix products and convolutions in one call of `function`.

    They are counted in the traced program, so that every turn of a scan counts (XLA's own analysis counts its body
    once). A multiply-add is two. Loops of unknown length count once, and every branch of a condition counts. Arguments
    may be ShapeDtypeStructs.
    """
    trace = getattr(function, "trace", None) or jax.jit(function).trace  # a compiled step has its own options
    return _count(trace(*arguments).jaxpr.jaxpr)


class ByShape:
    """`count(batch)` of batches, computed once for each shape."""

    def __init__(self, count: Callable[[Shapes], int]):
        self._count = count
        self._known: dict[tuple[tuple[str, tuple[int, ...]], ...], int] = {}

    def __call__(self, batch: Shapes) -> int:
        """The count of a batch of these shapes."""
        key = tuple((name, x.shape) for name, x in sorted(batch.items()))
        if key not in self._known:
            self._known[key] = self._count(batch)
        return self._known[key]


def _count(jaxpr: Any) -> int:  # jax's types of programs are not public
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * int(np.prod(equation.outvars[0].aval.shape)) * int(np.prod([left[i] for i in contract]))
        elif equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            out_features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2 * int(np.prod(equation.outvars[0].aval.shape)) * int(np.prod(kernel)) // out_features
        repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                total += repeats * _count(getattr(inner, "jaxpr", inner))
    return total


def _is_program(value: object) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def data_sheet(kind: str) -> str | None:
    """The name in PEAKS of a kind of device, as jax calls it ("NVIDIA H100 80GB HBM3")."""
    return max((name for name in PEAKS if kind.startswith(name)), key=len, default=None)


def peak(device: jax.Device) -> tuple[float, str]:
    """FLOP/s of one device and where they come from: its data sheet, or else a matrix product timed here."""
    if name := data_sheet(device.device_kind):
        return PEAKS[name], f"data sheet of {name}"
    return _measured(device), f"float32 matrix product of {SIZE} measured on {device.device_kind}"


@cache
def _measured(device: jax.Device) -> float:
    """FLOP/s of a matrix product, timed once a process."""
    product = jax.jit(jnp.matmul)
    x = jax.device_put(jnp.ones((SIZE, SIZE)), device)
    product(x, x).block_until_ready()
    best, end = float("inf"), time.perf_counter() + MEASURED
    while time.perf_counter() < end:
        start = time.perf_counter()
        product(x, x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * SIZE**3 / best
