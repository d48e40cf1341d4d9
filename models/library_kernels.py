"""Attention by the kernels of libraries: cuDNN's for NVIDIA's GPUs, and jax's for TPUs.

B batch, T queries, S keys, H heads, K head size of queries and keys, V head size of values.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from models.masks import Mask

TILE = 128  # lengths on a TPU are multiples of it


def cudnn(
    query: Float[Array, "B T H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H V"],
    mask: Mask,
    bias: Float[Array, "#B H T S"] | None = None,
) -> Float[Array, "B T H V"]:
    """The flash attention of cuDNN, for NVIDIA's GPUs. Arguments as of kernels.attention."""
    (batch, queries, heads, _), keys = query.shape, key.shape[1]
    causal = mask.causal and not mask.more
    rows = None if causal else mask.array(queries, keys)
    if rows is not None:
        rows = rows.reshape(*(1,) * (4 - rows.ndim), *rows.shape)  # a window alone has no axis of examples and heads
    bias = bias if bias is None else bias.astype(query.dtype)  # the only one that cuDNN is sure to take
    visible = rows if rows is None else jnp.broadcast_to(rows, (batch, heads, queries, keys))  # no mask may broadcast
    lengths = None
    if queries % 2 or keys % 2:  # jax refuses odd lengths where there are gradients: one more, which nobody sees
        more = ((0, 0), (0, 0), (0, queries % 2), (0, keys % 2))
        bias = bias if bias is None else jnp.pad(bias, more)
        visible = visible if visible is None else jnp.pad(visible, more)
        lengths = None if causal and queries == keys else jnp.full(batch, keys, jnp.int32)
        query, key, value = (jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, 0), (0, 0))) for x in (query, key, value))
    out = jax.nn.dot_product_attention(
        query,
        key,
        value,
        bias=bias,
        mask=visible,
        is_causal=causal,
        key_value_seq_lengths=lengths,
        implementation="cudnn",
    )
    return _without_blind(out[:, :queries], rows)


def _without_blind(out: jax.Array, mask: jax.Array | None) -> jax.Array:
    """0 for queries that may look nowhere, for which kernels look everywhere or give anything."""
    return out if mask is None else jnp.where(mask.any(-1).swapaxes(1, 2)[..., None], out, 0)


def splash(
    query: Float[Array, "B T H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H V"],
    mask: Mask,
    cap: float = 0.0,
    interpret: bool = False,
) -> Float[Array, "B T H V"]:
    """The flash attention that jax has for TPUs. Arguments as of kernels.attention; `mask.allowed` may depend only
    on keys.

    Args:
      interpret: whether to compute it on a CPU, slowly, for a test.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as pallas  # takes a second, which few runs need

    batch, queries, heads, size = query.shape
    keys = key.shape[1]

    def padded(x: jax.Array) -> jax.Array:
        """(B, N, H, K) -> (B, H, N, K), with N a multiple of TILE."""
        return jnp.pad(x, ((0, 0), (0, -x.shape[1] % TILE), (0, 0), (0, 0))).swapaxes(1, 2)

    def block(length: int) -> int:
        return next(b for b in (512, 256, TILE) if length % b == 0)

    segments = None
    if mask.more or queries % TILE or keys % TILE:
        # Segments hide padding too. A query without a segment gets one that no key has.
        of_query, of_key = mask.segments or (jnp.ones((batch, queries), jnp.int32), jnp.ones((batch, keys), jnp.int32))
        of_query = jnp.where(jnp.asarray(of_query) > 0, of_query, -1)
        if mask.allowed is not None:
            of_key = jnp.where(jnp.asarray(mask.allowed)[..., 0, 0, :], of_key, 0)
        segments = pallas.SegmentIds(
            jnp.pad(of_query, ((0, 0), (0, -queries % TILE)), constant_values=-1),
            jnp.pad(of_key, ((0, 0), (0, -keys % TILE))),
        )
    query, key, value = padded(query * size**-0.5), padded(key), padded(value)
    shape = (query.shape[2], key.shape[2])
    q, kv = block(shape[0]), block(shape[1])
    near = pallas.LocalMask(shape, (mask.window - 1, 0), 0) if mask.window else pallas.FullMask(shape)
    visible = pallas.CausalMask(shape) if mask.causal and not mask.window else near
    kernel = pallas.make_splash_mha_single_device(
        pallas.MultiHeadMask([visible] * heads),
        block_sizes=pallas.BlockSizes(
            block_q=q, block_kv=kv, block_q_dkv=q, block_kv_dkv=kv, block_q_dq=q, block_kv_dq=kv
        ),
        attn_logits_soft_cap=cap or None,
        interpret=interpret,
    )
    out = jax.vmap(kernel)(query, key, value, segments)[:, :, :queries].swapaxes(1, 2)
    if not mask.more:
        return out
    return _without_blind(out, Mask(mask.causal, (of_query, of_key), None, mask.window).rows(0, queries, keys))
