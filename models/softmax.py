"""Attention of equation 1 (1706.03762) with its gradient written out, so that less is kept and read again.

The compiler's own gradient of a softmax keeps its result in float32 and reads it several times. Here one array of T x S
is kept for the backward pass, in the dtype of the computation.

B batch, T queries, S keys, H heads, K head size of queries and keys, V head size of values.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from models.arrays import AnyArray

# Query, key, value, bias, weights before they are divided, their sum, result.
Kept = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None, jax.Array, jax.Array, jax.Array]


@jax.custom_vjp
def softmax_values(
    query: Float[Array, "B H T K"],
    key: Float[Array, "B H S K"],
    value: Float[Array, "B H S V"],
    mask: Bool[AnyArray, "..."] | None = None,
    bias: Float[Array, "#B H T S"] | None = None,
) -> Float[Array, "B H T V"]:
    """softmax(QK^T + bias) V, with the softmax in float32.

    Args:
      query: divided by sqrt(K).
      mask: broadcastable to (B, H, T, S), True where a query may look. A query that may look nowhere gets zeros.
      bias: added to the scores, one for each example or one for all.

    Returns:
      the result in the query's dtype.
    """
    return _forward(query, key, value, mask, bias)[0]


def _forward(
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


def _backward(kept: Kept, gradient: jax.Array) -> tuple[jax.Array | None, ...]:
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


softmax_values.defvjp(_forward, _backward)
