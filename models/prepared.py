"""Matrices in the form in which decoding multiplies by them quickest, made once before many steps.

They are kept beside the parameters, in the collection "prepared", and used within `use()`. Elsewhere, and where there
are none, layers multiply by their parameters.

  float32: the table of an output layer that shares the embedding's, transposed. A CPU's compiler would have every
    product transpose it anew, which takes half as long as the product itself.
  int8: every matrix W with one scale for each output, W_ij ≈ s_j Q_ij. A row of activations is rounded likewise as it
    comes, x_i ≈ a q_i, and y_j = a s_j Σ_i q_i Q_ij is summed in int32 (1712.05877, without zero points).

I inputs of a layer, O outputs.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int8, PyTree

from errors import UserError
from models.attention import Heads

Weights = Literal["float32", "int8"]
Method = Callable[..., PyTree]  # of a layer

COLLECTION = "prepared"
LARGEST = 127


def wanted(model: nn.Module, weights: Weights) -> bool:
    """Whether there is anything to prepare.

    Raises:
      UserError: int8 weights of a model that does not write token by token.
    """
    writes = hasattr(model, "step")
    if weights == "int8" and not writes:
        raise UserError("--weights=int8 is for models that write token by token, which this one does not.")
    return writes and (weights == "int8" or jax.default_backend() == "cpu")


def prepare(model: nn.Module, variables: PyTree, weights: Weights) -> PyTree:
    """The collection, for the products of one step of decoding. Within loops over layers or time there are none."""

    def write(model: nn.Module) -> None:
        tokens = jnp.zeros((1, 1), jnp.int32)
        model.step(tokens, tokens, model.start(tokens, beams=1, length=1))

    with nn.intercept_methods(partial(_prepare, weights)):
        _, made = model.apply(variables, method=write, mutable=[COLLECTION])
    return made.get(COLLECTION, {})


def use() -> AbstractContextManager[None]:
    """Within it, layers multiply by what is prepared for them."""
    return nn.intercept_methods(_use)


def _prepare(
    weights: Weights, method: Method, arguments: PyTree, options: PyTree, context: nn.module.InterceptorContext
) -> PyTree:
    layer = context.module
    if _multiplies(context) and layer.is_mutable_collection(COLLECTION):
        matrix = _matrix(layer)
        if weights == "int8":
            matrix, scale = rounded(matrix, axis=0)
            layer.put_variable(COLLECTION, "matrix", matrix)
            layer.put_variable(COLLECTION, "scale", scale[0])
        elif isinstance(layer, nn.Embed):
            layer.put_variable(COLLECTION, "matrix", matrix)
    return method(*arguments, **options)


def _use(method: Method, arguments: PyTree, options: PyTree, context: nn.module.InterceptorContext) -> PyTree:
    layer = context.module
    if not _multiplies(context) or not layer.has_variable(COLLECTION, "matrix"):
        return method(*arguments, **options)
    (x,) = arguments
    rows = x.reshape(*x.shape[: x.ndim - _inputs(layer)], -1)
    matrix: jax.Array = layer.get_variable(COLLECTION, "matrix")
    if layer.has_variable(COLLECTION, "scale"):
        y = product(rows, matrix, layer.get_variable(COLLECTION, "scale"))
    else:
        y = rows.astype(matrix.dtype) @ matrix
    if not isinstance(layer, nn.Embed):
        y = y.reshape(*rows.shape[:-1], *layer.get_variable("params", "kernel").shape[_inputs(layer) :])
        y = y + layer.get_variable("params", "bias") if layer.use_bias else y
    return y.astype(layer.dtype)


def _multiplies(context: nn.module.InterceptorContext) -> bool:
    """Whether this is a call of a layer that multiplies by its matrix."""
    layer, method = type(context.module), context.method_name
    return (layer in (nn.Dense, nn.DenseGeneral, Heads) and method == "__call__") or (
        layer is nn.Embed and method == "attend"
    )


def _inputs(layer: nn.Module) -> int:
    """How many axes of x, its last, the product sums over."""
    return len(layer.axis) if isinstance(layer, nn.DenseGeneral) and isinstance(layer.axis, tuple) else 1


def _matrix(layer: nn.Module) -> Float[Array, "I O"]:
    """A layer's matrix in the computation's dtype."""
    if isinstance(layer, nn.Embed):
        return layer.get_variable("params", "embedding").astype(layer.dtype).T
    kernel: jax.Array = layer.get_variable("params", "kernel").astype(layer.dtype)
    return kernel.reshape(math.prod(kernel.shape[: _inputs(layer)]), -1)


def rounded(x: Float[Array, "M N"], axis: int) -> tuple[Int8[Array, "M N"], Float32[Array, "#M #N"]]:
    """Whole numbers of -127 to 127 and their scales, one for all along `axis`; the product of both is about x."""
    x = x.astype(jnp.float32)
    scale = jnp.maximum(jnp.abs(x).max(axis, keepdims=True), jnp.finfo(jnp.float32).tiny) / LARGEST
    return jnp.round(x / scale).astype(jnp.int8), scale


def product(x: Float[Array, "*B I"], matrix: Int8[Array, "I O"], scale: Float32[Array, " O"]) -> Float32[Array, "*B O"]:
    """About x times the matrix that `rounded` made these numbers and scales of."""
    numbers, row_scale = rounded(x.reshape(-1, x.shape[-1]), axis=1)
    y = jax.lax.dot(numbers, matrix, preferred_element_type=jnp.int32).astype(jnp.float32) * row_scale * scale
    return y.reshape(*x.shape[:-1], -1)
