"""Which patches of an image are hidden.

B batch, N patches.
"""

import jax
import jax.numpy as jnp


def order(key: jax.Array, batch: int, patches: int) -> jax.Array:
    """The patches of each image in an order of its own: int32 (B, N)."""
    return jnp.argsort(jax.random.uniform(key, (batch, patches)), axis=1)


def hidden(order: jax.Array, count: int) -> jax.Array:
    """Whether a patch is among the last `count` of its order: bool (B, N)."""
    return jnp.argsort(order, axis=1) >= order.shape[1] - count
