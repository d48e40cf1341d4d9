"""Images larger than a model's input, seen window by window.

B batch, H and W pixels, C classes.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from errors import UserError


def check(window: Sequence[int], stride: Sequence[int]) -> None:
    """That they are two sides each, and leave no gap.

    Raises:
      UserError: they are not.
    """
    for name, sides in (("window", window), ("stride", stride)):
        if len(sides) not in (0, 2) or not all(sides):
            raise UserError(f"config.task.{name}={tuple(sides)} should be a height and a width, or ().")
    if stride and not window:
        raise UserError("config.task.stride is of windows: set config.task.window too.")
    if stride and any(s > w for s, w in zip(stride, window, strict=True)):
        raise UserError(f"config.task.stride={tuple(stride)} should not be more than window={tuple(window)}.")


def places(size: int, window: int, stride: int) -> list[int]:
    """Where windows of a side begin: every `stride`, the last one at the end."""
    return sorted({min(place, max(size - window, 0)) for place in range(0, max(size - window, 0) + stride, stride)})


def apply(
    function: Callable[[jax.Array], jax.Array],
    image: Float[Array, "B H W channels"],
    window: Sequence[int],
    stride: Sequence[int] = (),
    size: Int[Array, "B 2"] | None = None,
) -> Float[Array, "B H W C"]:
    """The mean of what `function` says of each pixel in all windows that have it. An image smaller than a window is
    filled up with zeros.

    Args:
      function: (B, *window, channels) -> (B, *window, C).
      window, stride: height and width; a stride of () is half a window.
      size: height and width of what is image, from the top left: the last windows end there. None for all of it.
    """
    high, wide = window
    batch, rows, columns, channels = image.shape
    padding = [(0, 0), (0, max(high - rows, 0)), (0, max(wide - columns, 0)), (0, 0)]
    image = jnp.pad(image, padding)
    steps = stride or (max(high // 2, 1), max(wide // 2, 1))
    whole = jnp.broadcast_to(jnp.array([rows, columns]), (batch, 2)) if size is None else size
    last = jnp.maximum(whole - jnp.array([high, wide]), 0)  # where the last window of each image begins
    down, across = (places(n, w, s) for n, w, s in zip(image.shape[1:3], window, steps, strict=True))
    begins, counted = [], []
    for top, above in zip(down, [-1, *down], strict=False):
        for left, before in zip(across, [-1, *across], strict=False):
            begins.append(jnp.minimum(jnp.array([top, left]), last))
            # What would begin beyond the last window is the last one again, which is counted once.
            counted.append((jnp.array([above, before]) < last).all(1))

    @jax.vmap
    def cut(image: jax.Array, begin: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (begin[0], begin[1], 0), (high, wide, channels))

    @jax.vmap
    def added(total: jax.Array, one: jax.Array, begin: jax.Array) -> jax.Array:
        at = (begin[0], begin[1], 0)
        return jax.lax.dynamic_update_slice(total, jax.lax.dynamic_slice(total, at, one.shape) + one, at)

    # All windows as one batch: a single call, compiled once however many there are.
    seen = function(jnp.concatenate([cut(image, begin) for begin in begins]))
    seen = seen.reshape(len(begins), batch, high, wide, -1)
    total, count = jnp.zeros((*image.shape[:3], seen.shape[-1])), jnp.zeros((*image.shape[:3], 1))
    for one, begin, once in zip(seen, begins, counted, strict=True):
        once = once[:, None, None, None].astype(one.dtype)
        total, count = added(total, one * once, begin), added(count, jnp.ones_like(one[..., :1]) * once, begin)
    return (total / jnp.maximum(count, 1))[:, :rows, :columns]
