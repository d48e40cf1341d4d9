"""Attention computed in several ways with the same result: equation 1 of 1706.03762 as it is written, in blocks of
queries, and by models/library_kernels.py. models/kernel_choice.py says which of them a program takes.

B batch, T queries, S keys, H heads, K head size of queries and keys, V head size of values.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from models import kernel_choice
from models.arrays import AnyArray
from models.kernel_choice import Case, Kernel
from models.library_kernels import cudnn, splash
from models.masks import Mask, as_mask

BLOCK = 128  # queries of a block
CAUSAL_PARTS = 4  # of the queries; each sees only the keys up to its own end: 5/8 of the products

# Query, key, value, bias, weights before they are divided, their sum, result.
Kept = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None, jax.Array, jax.Array, jax.Array]


class Dropout(NamedTuple):
    """Dropout of attention weights: the rate, and the key that decides which."""

    rate: float
    key: jax.Array


def attention(
    query: Float[Array, "B T H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H V"],
    mask: Mask | Bool[AnyArray, "..."] | None = None,
    bias: Float[Array, "#B H T S"] | None = None,
    dropout: Dropout | None = None,
    cap: float = 0.0,
    kernel: Kernel = "auto",
) -> Float[Array, "B T H V"]:
    """Attention(Q, K, V) = softmax(QK^T / sqrt(K) + bias) V (equation 1), by the quickest way there is.

    Args:
      mask: which keys each query may look at; arrays are broadcastable to (B, H, T, S). A query that may look nowhere
        gets zeros.
      bias: added to the scores, one for each example or one for all.
      dropout: of the weights; None for none.
      cap: c of c tanh(scores / c), before the bias; 0 for none.
      kernel: see models/kernel_choice.py.

    Returns:
      the result in the query's dtype.

    Raises:
      UserError: a kernel that cannot compute this.
    """
    mask = as_mask(mask)
    case = Case.of(query, key, value, mask, bias, dropout.rate if dropout else 0.0, cap)
    match kernel_choice.choose(kernel, case):
        case "blockwise":
            return blockwise(query, key, value, mask, bias, dropout, cap)
        case "cudnn":
            return cudnn(query, key, value, mask, bias)
        case "splash":
            return splash(query, key, value, mask, cap)
        case _:
            return plain(query, key, value, mask.array(query.shape[1], key.shape[1]), bias, dropout, cap)


def plain(
    query: Float[Array, "B T H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H V"],
    mask: Bool[AnyArray, "..."] | None = None,
    bias: Float[Array, "#B H T S"] | None = None,
    dropout: Dropout | None = None,
    cap: float = 0.0,
) -> Float[Array, "B T H V"]:
    """Equation 1 with all weights at once. Arguments as of `attention`."""
    if dropout is None and not cap:
        query, key, value = query.swapaxes(1, 2), key.swapaxes(1, 2), value.swapaxes(1, 2)
        return softmax_values(query * query.shape[-1] ** -0.5, key, value, mask, bias).swapaxes(1, 2)
    weights = attention_weights(query, key, mask, bias, cap)
    return weighted_values(dropped(weights, dropout), value)


@jax.custom_vjp
def softmax_values(
    query: Float[Array, "B H T K"],
    key: Float[Array, "B H S K"],
    value: Float[Array, "B H S V"],
    mask: Bool[AnyArray, "..."] | None = None,
    bias: Float[Array, "#B H T S"] | None = None,
) -> Float[Array, "B H T V"]:
    """softmax(QK^T + bias) V, equation 1 with its gradient written out, so that less is kept and read again.

    The compiler's own gradient of a softmax keeps its result in float32 and reads it several times. Here one array of
    T x S is kept for the backward pass, in the dtype of the computation. The softmax itself is in float32.

    Args:
      query: divided by sqrt(K).
      mask: broadcastable to (B, H, T, S), True where a query may look. A query that may look nowhere gets zeros.
      bias: added to the scores, one for each example or one for all.

    Returns:
      the result in the query's dtype.
    """
    return _softmax_forward(query, key, value, mask, bias)[0]


def _softmax_forward(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: AnyArray | None, bias: jax.Array | None
) -> tuple[jax.Array, Kept]:
    scores = jnp.einsum("bhtk,bhsk->bhts", query, key, preferred_element_type=jnp.float32)
    if bias is not None:
        scores += bias
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    if mask is not None:
        weights = jnp.where(mask, weights, 0.0)
    total = weights.sum(-1, keepdims=True)
    if mask is not None:
        total = jnp.where(total > 0, total, 1.0)
    # Without the barrier a TPU's compiler lays the weights out for the product that follows, and copies them.
    weights, total = jax.lax.optimization_barrier((weights.astype(query.dtype), total))
    out = jnp.einsum("bhts,bhsk->bhtk", weights, value, preferred_element_type=jnp.float32)
    out = (out / total).astype(query.dtype)  # fewer to divide than weights
    return out, (query, key, value, bias, weights, total, out)


def _softmax_backward(kept: Kept, gradient: jax.Array) -> tuple[jax.Array | None, ...]:
    query, key, value, bias, weights, total, out = kept
    gradient = (gradient / total).astype(gradient.dtype)
    of_value = jnp.einsum("bhts,bhtk->bhsk", weights, gradient)
    of_weights = jnp.einsum("bhtk,bhsk->bhts", gradient, value, preferred_element_type=jnp.float32)
    # The sum over s of each weight times its gradient, from the result alone (2205.14135, appendix B.2).
    mean = jnp.sum(gradient.astype(jnp.float32) * out.astype(jnp.float32), axis=-1, keepdims=True)
    of_scores = weights.astype(jnp.float32) * (of_weights - mean)
    if bias is None:
        of_bias = None
    else:
        of_bias = (of_scores if len(bias) == len(query) else of_scores.sum(0, keepdims=True)).astype(bias.dtype)
    of_scores = of_scores.astype(query.dtype)
    of_query = jnp.einsum("bhts,bhsk->bhtk", of_scores, key)
    of_key = jnp.einsum("bhts,bhtk->bhsk", of_scores, query)
    return of_query, of_key, of_value, None, of_bias


softmax_values.defvjp(_softmax_forward, _softmax_backward)


def attention_weights(
    query: Float[Array, "B T H K"],
    key: Float[Array, "B S H K"],
    mask: Bool[AnyArray, "..."] | None = None,
    bias: Float[Array, "#B H T S"] | None = None,
    cap: float = 0.0,
) -> Float[Array, "B H T S"]:
    """softmax(QK^T / sqrt(K) + bias), equation 1 before the values.

    Args:
      mask: broadcastable to (B, H, T, S), True where a query may look. A query that may look nowhere gets zeros.
      bias: added to the scores, one for each example or one for all.
      cap: see `attention`.

    Returns:
      the weights in the query's dtype; the softmax itself is taken in float32.
    """
    # Heads before tokens: on a CPU these products are then up to 1.4 times as fast; elsewhere the compiler decides.
    return heads_first_weights(query.swapaxes(1, 2), key.swapaxes(1, 2), mask, bias, cap)


def heads_first_weights(
    query: Float[Array, "B H T K"],
    key: Float[Array, "B H S K"],
    mask: Bool[AnyArray, "..."] | None = None,
    bias: Float[Array, "#B H T S"] | None = None,
    cap: float = 0.0,
) -> Float[Array, "B H T S"]:
    """attention_weights of heads that come before tokens."""
    scores = capped(product("bhtk,bhsk->bhts", query * query.shape[-1] ** -0.5, key), cap)
    if bias is not None:
        scores += bias
    if mask is None:
        return jax.nn.softmax(scores).astype(query.dtype)
    weights = jax.nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min))
    return jnp.where(mask, weights, 0.0).astype(query.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def product(form: str, x: Float[Array, "..."], y: Float[Array, "..."]) -> Float32[Array, "..."]:
    """The einsum of two arrays of one dtype, in float32, whose gradients are products in that dtype.

    The compiler's own gradient would multiply float32 by bfloat16, which devices do at the price of float32.
    """
    return jnp.einsum(form, x, y, preferred_element_type=jnp.float32)


def _product_forward(form: str, x: jax.Array, y: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(form, x, y), (x, y)


def _product_backward(form: str, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, ...]:
    _, back = jax.vjp(partial(jnp.einsum, form), *kept)
    return back(gradient.astype(kept[0].dtype))


product.defvjp(_product_forward, _product_backward)


def capped(x: Float[Array, "..."], cap: float) -> Float[Array, "..."]:
    """c tanh(x / c), which is about x where x is small and never exceeds c (2408.00118, section 2); x for a c of 0."""
    return cap * jnp.tanh(x / cap) if cap else x


def weighted_values(weights: Float[Array, "B H T S"], value: Float[Array, "B S H V"]) -> Float[Array, "B T H V"]:
    """The sum over s of weights times values."""
    return jnp.einsum("bhts,bhsk->bhtk", weights, value.swapaxes(1, 2)).swapaxes(1, 2)


def dropped(weights: Float[Array, "B H T S"], dropout: Dropout | None) -> Float[Array, "B H T S"]:
    """The weights with each set to 0 at a rate and the others scaled up, as nn.Dropout does."""
    if dropout is None:
        return weights
    kept = jax.random.bernoulli(dropout.key, 1 - dropout.rate, weights.shape)
    return jnp.where(kept, weights / (1 - dropout.rate), 0)


def blockwise(
    query: Float[Array, "B T H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H V"],
    mask: Mask,
    bias: Float[Array, "#B H T S"] | None = None,
    dropout: Dropout | None = None,
    cap: float = 0.0,
) -> Float[Array, "B T H V"]:
    """`plain` for one block of queries after the other; the backward pass computes each block's weights again. Memory
    grows with T + S instead of T x S. Arguments as of `attention`."""
    queries, keys = query.shape[1], key.shape[1]
    if not mask.causal or queries != keys or queries < CAUSAL_PARTS * BLOCK:
        return _blocks(query, key, value, mask, bias, dropout, cap, 0)
    # A causal mask hides from each part of the queries the keys after it: these are left out.
    ends = [round(queries * (part + 1) / CAUSAL_PARTS / BLOCK) * BLOCK for part in range(CAUSAL_PARTS - 1)] + [queries]
    starts = [0, *ends[:-1]]
    parts = [
        _blocks(
            query[:, start:end],
            key[:, :end],
            value[:, :end],
            mask,
            None if bias is None else bias[:, :, start:end, :end],
            dropout,
            cap,
            start,
        )
        for start, end in zip(starts, ends, strict=True)
    ]
    return jnp.concatenate(parts, axis=1)


def _blocks(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: Mask,
    bias: jax.Array | None,
    dropout: Dropout | None,
    cap: float,
    first: int,
) -> jax.Array:
    """`blockwise` of some of the queries. first: the place of the first of them in the mask."""
    (batch, queries, heads, _), keys = query.shape, key.shape[1]
    count = math.ceil(queries / BLOCK)
    size = math.ceil(queries / count)
    spare = count * size - queries  # empty rows of the last block, which are cut off at the end
    mask = mask.padded(first + count * size)
    key, value = key.swapaxes(1, 2), value.swapaxes(1, 2)

    def split(x: jax.Array) -> jax.Array:
        """(B, H, T, ...) -> (blocks, B, H, size, ...)."""
        x = jnp.pad(x, ((0, 0), (0, 0), (0, spare), (0, 0)))
        return jnp.moveaxis(x.reshape(*x.shape[:2], count, size, x.shape[3]), 2, 0)

    @partial(jax.checkpoint, prevent_cse=False)  # which a loop does by itself
    def block(query: jax.Array, bias: jax.Array | None, number: jax.Array) -> jax.Array:
        weights = heads_first_weights(query, key, mask.rows(first + number * size, size, keys), bias, cap)
        if dropout is not None:
            block_key = jax.random.fold_in(dropout.key, first + number)
            weights = dropped(weights, dropout._replace(key=block_key))
        return jnp.einsum("bhts,bhsk->bhtk", weights, value)

    xs = (split(query.swapaxes(1, 2)), None if bias is None else split(bias), jnp.arange(count))
    out = jax.lax.map(lambda x: block(*x), xs)
    return jnp.moveaxis(out, 0, 2).reshape(batch, heads, count * size, -1)[:, :, :queries].swapaxes(1, 2)
