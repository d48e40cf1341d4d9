"""Positions that attention itself sees, as distances: rotary (2104.09864) and ALiBi (2108.12409).

Both change queries and keys, and nothing else: every kernel computes them, decoding keeps keys that know their place,
and there is no array of T x S. Scores depend on distances alone, so that rows of any length can be computed.

B batch, N tokens, H heads, K head size.
"""

import math
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from models.arrays import AnyArray

Distances = Literal["none", "rotary", "alibi", "axial"]
WHOLE = 256  # bfloat16 holds whole numbers up to it


def rotated(x: Float[Array, "B N H K"], position: Int[AnyArray, "#B #N"], base: float) -> Float[Array, "B N H K"]:
    """Queries or keys, each turned by angles that grow with its position (2104.09864, equation 34).

    Pair i of K / 2 is turned by position / base^(2i / K). Its two numbers are x_i and x_(i + K/2), as in LLaMA; the
    paper's neighbours x_2i and x_(2i+1) differ from them by an order of the columns of the matrices before.

    Args:
      x: K is even.
      base: 10,000 in the paper.
    """
    half = x.shape[-1] // 2
    frequency = jnp.asarray(base ** -(np.arange(half) / half), jnp.float32)
    return _turned(x, jnp.asarray(position, jnp.float32)[:, :, None, None] * frequency)


def rotated_on_grid(x: Float[Array, "B N H K"], grid: tuple[int, int], base: float) -> Float[Array, "B N H K"]:
    """Queries or keys of patches, half of the pairs turned by angles of their row and half by those of their column
    (DINOv3, 2508.10104, section 3.2): 2π c / base^(4i / K), where c goes from −1 at one edge of the image to 1 at the
    other, so that images of any size have the same angles at their edges. Tokens before the grid are not turned.

    Args:
      x: K divides by 4; the last of the N tokens are the patches, row by row.
      grid: rows and columns of the patches.
    """
    quarter = x.shape[-1] // 4
    row, column = ((2 * np.arange(n) + 1) / n - 1 for n in grid)
    place = np.stack([np.repeat(row, grid[1]), np.tile(column, grid[0])], axis=1)  # (R C, 2)
    angle = 2 * np.pi * place[..., None] * base ** -(np.arange(quarter) / quarter)
    extra = x.shape[1] - len(place)
    turned = _turned(x[:, extra:], jnp.asarray(angle.reshape(1, len(place), 1, -1), jnp.float32))
    return jnp.concatenate([x[:, :extra], turned], axis=1)


def _turned(x: Float[Array, "B N H K"], angle: Float[Array, "#B N 1 half"]) -> Float[Array, "B N H K"]:
    """Each pair (x_i, x_(i + K/2)) turned by its angle."""
    cos, sin = jnp.cos(angle).astype(x.dtype), jnp.sin(angle).astype(x.dtype)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def alibi_slopes(heads: int) -> Float[np.ndarray, " H"]:
    """m of each head: 2^(-8 i / H) for i = 1 ... H (2108.12409, section 3).

    Where H is no power of two: those of the next smaller power P, then every second one of 2 P, as the authors have it.
    """
    power = 2 ** math.floor(math.log2(heads))

    def geometric(number: int) -> np.ndarray:
        return 2.0 ** (-8 * np.arange(1, number + 1) / number)

    return np.concatenate([geometric(power), geometric(2 * power)[::2][: heads - power]])


def alibi_query(query: Float[Array, "B T H K"]) -> Float[Array, "B T H K+2"]:
    """Queries whose products with `alibi_key`, over sqrt(K + 2), are QK^T / sqrt(K) + m s for a key at position s.

    ALiBi adds -m (t - s): the same but for m t, which is one number for all keys of a query and so leaves the softmax
    as it is.
    """
    size = query.shape[-1]
    slope = alibi_slopes(query.shape[2])[:, None] * [WHOLE, 1] * (size + 2) ** 0.5
    slope = jnp.broadcast_to(jnp.asarray(slope, query.dtype), (*query.shape[:3], 2))
    return jnp.concatenate([query * ((size + 2) / size) ** 0.5, slope], axis=-1)


def alibi_key(key: Float[Array, "B S G K"], position: Int[AnyArray, "#B #S"]) -> Float[Array, "B S G K+2"]:
    """Keys with their positions s as two numbers, s // 256 and s % 256: both are exact in bfloat16 up to 65,536."""
    place = jnp.stack(jnp.divmod(jnp.asarray(position), WHOLE), axis=-1).astype(key.dtype)
    return jnp.concatenate([key, jnp.broadcast_to(place[:, :, None], (*key.shape[:3], 2))], axis=-1)
