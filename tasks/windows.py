"""Images larger than a model's input, seen window by window.

B batch, H and W pixels, C classes.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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
) -> Float[Array, "B H W C"]:
    """The mean of what `function` says of each pixel in all windows that have it. An image smaller than a window is
    filled up with zeros.

    Args:
      function: (B, *window, channels) -> (B, *window, C).
      window, stride: height and width; a stride of () is half a window.
    """
    high, wide = window
    rows, columns = image.shape[1:3]
    padding = [(0, 0), (0, max(high - rows, 0)), (0, max(wide - columns, 0)), (0, 0)]
    image = jnp.pad(image, padding)
    steps = stride or (max(high // 2, 1), max(wide // 2, 1))
    down, across = (places(n, w, s) for n, w, s in zip(image.shape[1:3], window, steps, strict=True))
    begins = [(top, left) for top in down for left in across]
    # All windows as one batch: a single call, compiled once however many there are.
    parts = jnp.concatenate([image[:, top : top + high, left : left + wide] for top, left in begins])
    seen = function(parts).reshape(len(begins), image.shape[0], high, wide, -1)
    total = jnp.zeros((*image.shape[:3], seen.shape[-1]))
    count = np.zeros((*image.shape[1:3], 1), np.float32)
    for (top, left), one in zip(begins, seen, strict=True):
        total = total.at[:, top : top + high, left : left + wide].add(one)
        count[top : top + high, left : left + wide] += 1
    return (total / count)[:, :rows, :columns]
