"""Which patches of an image are hidden or corrupted.

B batch, N patches, D width.
"""

import jax
import jax.numpy as jnp

REPLACED, OTHER = 0.8, 0.1  # shares of corrupted patches that become a learned embedding; another patch of the image


def order(key: jax.Array, batch: int, patches: int) -> jax.Array:
    """The patches of each image in an order of its own: int32 (B, N)."""
    return jnp.argsort(jax.random.uniform(key, (batch, patches)), axis=1)


def hidden(order: jax.Array, count: int) -> jax.Array:
    """Whether a patch is among the last `count` of its order: bool (B, N)."""
    return jnp.argsort(order, axis=1) >= order.shape[1] - count


def corrupt(key: jax.Array, x: jax.Array, replacement: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`count` of each image's patches replaced, exchanged for another or left as they are (2010.11929, appendix B.1.2).

    Args:
      x: (B, N, D). replacement: broadcastable to it.

    Returns:
      (B, N, D), and which patches were chosen, bool (B, N).
    """
    batch, patches, _ = x.shape
    which, how, where = jax.random.split(key, 3)
    chosen = hidden(order(which, batch, patches), count)
    fate = jax.random.uniform(how, (batch, patches, 1))
    others = jnp.take_along_axis(x, jax.random.randint(where, (batch, patches, 1), 0, patches), axis=1)
    corrupted = jnp.where(fate < REPLACED, replacement, jnp.where(fate < REPLACED + OTHER, others, x))
    return jnp.where(chosen[..., None], corrupted, x), chosen
