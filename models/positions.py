"""Where a token stands: learned or sinusoidal, in one or two dimensions, relative to the others, or nothing.

N positions, D width.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int32

from errors import UserError
from models.arrays import AnyArray

Kind = Literal["learned", "learned_2d", "sinusoid_1d", "sinusoid_2d", "relative", "none"]
TokenKind = Literal["sinusoid_1d", "sinusoid_halves", "learned", "none"]


def sinusoid_1d(length: int, width: int) -> Float32[np.ndarray, "N D"]:
    """PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos(p / 10000^(2i/D)) (1706.03762, section 3.5).

    Raises:
      ValueError: an odd width.
    """
    if width % 2:
        raise ValueError(f"sinusoidal positions need an even width, not {width}.")
    angle = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(length, width).astype(np.float32)


def sinusoid_halves(length: int, width: int) -> Float32[np.ndarray, "N D"]:
    """The same with all sines before all cosines, as in tensor2tensor and Marian."""
    both = sinusoid_1d(length, width)
    return np.concatenate([both[:, 0::2], both[:, 1::2]], axis=-1)


def sinusoid_2d(rows: int, columns: int, width: int) -> Float32[np.ndarray, "N D"]:
    """Half of the width encodes the row and half the column of a grid, whose N = rows * columns places go row by row.

    Raises:
      ValueError: a width that does not divide by 4.
    """
    if width % 4:
        raise ValueError(f"two-dimensional sinusoidal positions need a width that divides by 4, not {width}.")
    row, column = sinusoid_1d(rows, width // 2), sinusoid_1d(columns, width // 2)
    grid = np.concatenate([np.repeat(row, columns, axis=0), np.tile(column, (rows, 1))], axis=-1)
    return grid.astype(np.float32)


SINUSOIDS = {"sinusoid_1d": sinusoid_1d, "sinusoid_halves": sinusoid_halves}  # of a sentence's tokens


def positions_in_segments(segment: Int[AnyArray, "B N"]) -> Int32[Array, "B N"]:
    """The distance of each token of a packed row from the beginning of its sentence, given the numbers of sentences."""
    index = jnp.broadcast_to(jnp.arange(segment.shape[1], dtype=jnp.int32), segment.shape)
    begins = jnp.diff(segment, axis=1, prepend=-1) != 0
    return index - jax.lax.cummax(jnp.where(begins, index, 0), axis=1)


class AddTokenPositions(nn.Module):
    """x + the positions of a sentence's tokens.

    Attributes:
      kind: "sinusoid_1d"; "sinusoid_halves", all sines first, as published translation models have them; "learned"
        (1706.03762, table 3 E); or "none".
      max_length: the number of learned positions; sinusoids have no end.
    """

    kind: TokenKind = "sinusoid_1d"
    max_length: int = 0

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], position: Int[Array, "#B #N"], length: int) -> Float[Array, "B N D"]:
        """x with positions added.

        Args:
          position: of each token, less than `length`.

        Raises:
          UserError: more positions than can be learned.
        """
        width = x.shape[-1]
        if self.kind == "none":
            return x
        if self.kind in SINUSOIDS:
            table = jnp.asarray(SINUSOIDS[self.kind](length, width))
        elif length > self.max_length:
            raise UserError(
                f"a sentence of {length} tokens has no learned positions beyond {self.max_length} (a translation may "
                "be config.task.extra_length longer than its source): raise config.model.max_length, or take "
                "config.model.positions=sinusoid_1d."
            )
        else:
            table = self.param("embedding", nn.initializers.normal(width**-0.5), (self.max_length, width))
        return x + table.astype(x.dtype)[position]


class AddPositions(nn.Module):
    """x + positions. Tokens before the grid (the class token) get a learned position or, with sinusoids, zero.

    Attributes:
      kind: "learned" (one vector for each position, initialised with σ = 0.02) | "learned_2d" (half of it for the row,
        half for the column) | "sinusoid_1d" | "sinusoid_2d" | "none" | "relative", which adds nothing here: see
        RelativePositions.
    """

    kind: Kind = "learned"

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], grid: tuple[int, int]) -> Float[Array, "B N D"]:
        """x with positions added.

        Args:
          grid: rows and columns; the last rows * columns of the N tokens are the grid.
        """
        tokens, width = x.shape[1:]
        extra = tokens - grid[0] * grid[1]
        learned = nn.initializers.normal(0.02)
        if self.kind in ("none", "relative"):
            return x
        if self.kind == "learned":
            return x + self.param("embedding", learned, (1, tokens, width)).astype(x.dtype)
        if self.kind == "learned_2d":
            row = self.param("row", learned, (grid[0], width // 2))
            column = self.param("column", learned, (grid[1], width - width // 2))
            table = jnp.concatenate([jnp.repeat(row, grid[1], axis=0), jnp.tile(column, (grid[0], 1))], axis=-1)
            if extra:
                table = jnp.concatenate([self.param("extra", learned, (extra, width)), table])
            return x + table.astype(x.dtype)
        fixed = sinusoid_2d(*grid, width) if self.kind == "sinusoid_2d" else sinusoid_1d(tokens - extra, width)
        return x + jnp.asarray(np.pad(fixed, ((extra, 0), (0, 0)))[None], x.dtype)


class RelativePositions(nn.Module):
    """Relative position bias on a 2-D grid: q_i · r(p_i - p_j) / sqrt(K), with a learned vector r for each offset of
    rows and columns, shared by the heads (2010.11929, appendix D.4; 1803.02155, equation 5).

    Attributes:
      grid: rows and columns.
    """

    grid: tuple[int, int]

    @nn.compact
    def __call__(self, query: Float[Array, "B N H K"]) -> Float[Array, "B H N N"]:
        """The bias of attention's scores. It is 0 to and from the tokens before the grid, which are the last rows *
        columns of the N tokens."""
        rows, columns = self.grid
        extra, size = query.shape[1] - rows * columns, query.shape[-1]
        table = self.param("embedding", nn.initializers.normal(size**-0.5), ((2 * rows - 1) * (2 * columns - 1), size))
        row, column = np.divmod(np.arange(rows * columns), columns)
        offset = (row[:, None] - row + rows - 1) * (2 * columns - 1) + column[:, None] - column + columns - 1
        scores = jnp.einsum("bnhk,ok->bhno", query[:, extra:] * size**-0.5, table.astype(query.dtype))
        bias = jnp.take_along_axis(scores, offset[None, None], axis=-1)
        return jnp.pad(bias, ((0, 0), (0, 0), (extra, 0), (extra, 0)))
