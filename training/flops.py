"""How much arithmetic a step is, and how much the device could do."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Dense bfloat16 peak of one JAX device, FLOP/s, from the makers' data sheets.
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


def forward(function: Callable[..., Any], *arguments: Any) -> int:
    """Floating-point operations of the matrix products and convolutions in one call of `function`.

    Counted from the traced program, so that every turn of a scan counts (XLA's own analysis counts its body once); a
    multiply-add is two. Loops of unknown length count once, and every branch of a condition. Arguments may be
    ShapeDtypeStructs.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


class ByShape:
    """`count(batch)` of batches, worked out once for each shape."""

    def __init__(self, count: Callable[[Any], int]):
        self._count = count
        self._known: dict[Any, int] = {}

    def __call__(self, batch: dict[str, jax.ShapeDtypeStruct]) -> int:
        key = tuple((name, x.shape) for name, x in sorted(batch.items()))
        if key not in self._known:
            self._known[key] = self._count(batch)
        return self._known[key]


def _count(jaxpr: Any) -> int:
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


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def data_sheet(kind: str) -> str | None:
    """The name in PEAKS of a kind of device, as jax calls it ("NVIDIA H100 80GB HBM3")."""
    return max((name for name in PEAKS if kind.startswith(name)), key=len, default=None)


def peak(device: jax.Device, seconds: float = 0.3) -> tuple[float, str]:
    """FLOP/s of one device and where the figure comes from: its data sheet, or else a matrix product timed here."""
    if name := data_sheet(device.device_kind):
        return PEAKS[name], f"data sheet of {name}"
    size = 1024
    product = jax.jit(jnp.matmul)
    x = jnp.ones((size, size))
    product(x, x).block_until_ready()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        product(x, x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best, f"float32 matrix product of {size} measured on {device.device_kind}"


def memory(*a):
    return 0.0
