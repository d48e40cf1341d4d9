"""Which patches of an image are hidden or corrupted.

B batch, N patches, D width.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, Key

from models.arrays import AnyArray

REPLACED, OTHER = 0.8, 0.1  # shares of corrupted patches replaced by a learned embedding; by another patch of the image


def keys(index: Int32[AnyArray, " B"] | None, batch: int) -> Key[Array, " B"]:
    """A key for each image of an evaluation, by its place in the split, so that its batch does not matter.

    Args:
      index: these places; None for 0, 1, ...
    """
    places = jnp.arange(batch) if index is None else index
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(0)))(places)


def order(key: Array, batch: int, patches: int) -> Int32[Array, "B N"]:
    """The numbers of each image's patches in a random order."""
    return jnp.argsort(jax.random.uniform(key, (batch, patches)), axis=1)


def hidden(order: Int32[Array, "B N"], count: int) -> Bool[Array, "B N"]:
    """Whether a patch is among the last `count` of its order."""
    return jnp.argsort(order, axis=1) >= order.shape[1] - count


def tubes(order: Int32[Array, "B S"], count: int, times: int) -> Int32[Array, "B N"]:
    """The numbers of a clip's tubelets, those of `times` frames of S places one after the other, in an order whose last
    `count` * `times` are the last `count` places of `order` at all times: tubes (2203.12602, section 3.2)."""

    def at_all_times(places: jax.Array) -> jax.Array:
        every = places[:, None] + order.shape[1] * jnp.arange(times, dtype=places.dtype)[:, None]
        return every.reshape(len(order), -1)

    seen = order.shape[1] - count
    return jnp.concatenate([at_all_times(order[:, :seen]), at_all_times(order[:, seen:])], axis=1)


def corrupt(
    key: Array, x: Float[Array, "B N D"], replacement: Float[Array, "#B #N D"], count: int
) -> tuple[Float[Array, "B N D"], Bool[Array, "B N"]]:
    """`count` of each image's patches replaced, exchanged for another or left as they are (2010.11929, appendix B.1.2).

    Returns:
      the patches, and which of them were chosen.
    """
    batch, patches, _ = x.shape
    which, how, where = jax.random.split(key, 3)
    chosen = hidden(order(which, batch, patches), count)
    fate = jax.random.uniform(how, (batch, patches, 1))
    others = jnp.take_along_axis(x, jax.random.randint(where, (batch, patches, 1), 0, patches), axis=1)
    corrupted = jnp.where(fate < REPLACED, replacement, jnp.where(fate < REPLACED + OTHER, others, x))
    return jnp.where(chosen[..., None], corrupted, x), chosen
