"""Positions of tokens: learned or sinusoidal, in one or two dimensions, relative, or none.

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
from models.sinusoids import sinusoid_1d, sinusoid_2d, sinusoid_halves

Kind = Literal["learned", "learned_2d", "sinusoid_1d", "sinusoid_2d", "relative", "rotary", "none"]
CUBIC = -0.75  # of the bicubic filter, as PyTorch has it
TokenKind = Literal["sinusoid_1d", "sinusoid_halves", "learned", "none"]


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


def interpolated(
    table: Float[Array, "R C D"], grid: tuple[int, int], antialias: bool = False
) -> Float[Array, "rows columns D"]:
    """A table for another grid over the same image, by PyTorch's bicubic filter, which DINO and its successors use.

    Args:
      antialias: the filter of DINOv2 with registers, which is softer, and grows where there are fewer places.
    """
    if antialias:
        return jax.image.resize(table, (*grid, table.shape[-1]), "bicubic", precision="highest")
    rows, columns = (jnp.asarray(_cubic(there, here)) for there, here in zip(table.shape[:2], grid, strict=True))
    return jnp.einsum("rR,cC,RCD->rcD", rows, columns, table, precision="highest")


def _cubic(there: int, here: int) -> Float32[np.ndarray, "here there"]:
    """What each of `there` places in a row counts at each of `here` places, whose middles are as far from the edges."""
    place = (np.arange(here) + 0.5) * there / here - 0.5
    first = np.floor(place).astype(int)
    weights = np.zeros((here, there), np.float32)
    for neighbour in range(-1, 3):
        x = np.abs(place - first - neighbour)
        near = ((CUBIC + 2) * x - (CUBIC + 3)) * x**2 + 1
        far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
        index = np.clip(first + neighbour, 0, there - 1)  # beyond the edge is the edge
        np.add.at(weights, (np.arange(here), index), np.where(x <= 1, near, far))
    return weights


class AddPositions(nn.Module):
    """x + positions. Tokens before the grid (the class token) get a learned position or, with sinusoids, zero.

    Attributes:
      kind: "learned" (one vector for each position, initialised with σ = 0.02) | "learned_2d" (half of it for the row,
        half for the column) | "sinusoid_1d" | "sinusoid_2d" | "none" | "relative" and "rotary", which add nothing here:
        see RelativePositions, and rotated_on_grid of models/distances.py.
      own: rows and columns that learned positions are for, whatever the grid, for which they are then interpolated;
        None for those of the grid.
      antialias: see `interpolated`.
    """

    kind: Kind = "learned"
    own: tuple[int, int] | None = None
    antialias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], grid: tuple[int, int]) -> Float[Array, "B N D"]:
        """x with positions added.

        Args:
          grid: rows and columns; the last rows * columns of the N tokens are the grid.
        """
        tokens, width = x.shape[1:]
        extra = tokens - grid[0] * grid[1]
        learned = nn.initializers.normal(0.02)
        if self.kind in ("none", "relative", "rotary"):
            return x
        if self.kind == "learned":
            own = self.own or grid
            table = self.param("embedding", learned, (1, extra + own[0] * own[1], width))
            if own != grid:
                patches = interpolated(table[0, extra:].reshape(*own, width), grid, self.antialias)
                patches = patches.reshape(1, -1, width)
                table = jnp.concatenate([table[:, :extra], patches], axis=1)
            return x + table.astype(x.dtype)
        if self.kind == "learned_2d":
            row = self.param("row", learned, (grid[0], width // 2))
            column = self.param("column", learned, (grid[1], width - width // 2))
            table = jnp.concatenate([jnp.repeat(row, grid[1], axis=0), jnp.tile(column, (grid[0], 1))], axis=-1)
            if extra:
                table = jnp.concatenate([self.param("extra", learned, (extra, width)), table])
            return x + table.astype(x.dtype)
        fixed = sinusoid_2d(*grid, width) if self.kind == "sinusoid_2d" else sinusoid_1d(tokens - extra, width)
        return x + jnp.asarray(np.pad(fixed, ((extra, 0), (0, 0)))[None], x.dtype)


def distance_buckets(
    distance: Int[np.ndarray, " N"], buckets: int, furthest: int, both_sides: bool
) -> Int32[np.ndarray, " N"]:
    """T5's bucket of each distance from a query to a key (1910.10683, section 2.1): one for each of the near ones, then
    wider and wider ones, on a logarithmic scale, and the last for all from `furthest` on.

    Args:
      distance: the key's place less the query's.
      buckets: how many there are. With `both_sides` the second half is for keys that come after the query; without,
        these have the bucket of distance 0.
    """
    after = (distance > 0) * (buckets // 2) if both_sides else 0
    buckets = buckets // 2 if both_sides else buckets
    away = np.abs(distance) if both_sides else np.maximum(-distance, 0)
    near = buckets // 2
    # In float32, as the published code has it: at a bucket's border rounding decides.
    scale = np.log(np.maximum(away, near).astype(np.float32) / near) / np.float32(np.log(furthest / near))
    far = np.minimum(near + (scale * (buckets - near)).astype(np.int32), buckets - 1)
    return (after + np.where(away < near, away, far)).astype(np.int32)


class RelativeBias(nn.Module):
    """T5's relative position bias: a learned number for each head and each bucket of distances, added to attention's
    scores. It depends on distances alone, so that sentences packed in a row need nothing more.

    Attributes:
      heads: H.
      both_sides: whether keys after a query have buckets of their own: in an encoder.
      buckets: how many there are.
      furthest: the distance from which all have the last bucket.
      embedding_init: of the table (buckets, H).
    """

    heads: int
    both_sides: bool
    buckets: int
    furthest: int
    embedding_init: nn.initializers.Initializer

    def setup(self) -> None:
        """Names the table."""
        self.embedding = self.param("embedding", self.embedding_init, (self.buckets, self.heads))

    def __call__(self, queries: int, keys: int) -> Float32[Array, "1 H T S"]:
        """Of queries 0 ... T - 1 to keys 0 ... S - 1."""
        # Row t is the numbers of all distances, moved by t places: with one number more a row, that is a reshape, whose
        # gradient is a sum. A gather's is a scatter, several times as slow.
        of_distance = jnp.pad(self._of_distances(queries, keys), ((0, 0), (0, 1)))
        rows = jnp.tile(of_distance, (1, queries))[:, : queries * (queries + keys - 1)]
        return rows.reshape(1, self.heads, queries, -1)[..., queries - 1 :]

    def row(self, query: Int[Array, ""], keys: int) -> Float32[Array, "1 H 1 S"]:
        """Of one query, whose place is less than S, to keys 0 ... S - 1."""
        first = keys - 1 - query
        return jax.lax.dynamic_slice_in_dim(self._of_distances(keys, keys), first, keys, axis=1)[None, :, None]

    def _of_distances(self, queries: int, keys: int) -> Float32[Array, "H N"]:
        """Of the distances 1 - T ... S - 1."""
        distance = np.arange(1 - queries, keys)
        return self.embedding[distance_buckets(distance, self.buckets, self.furthest, self.both_sides)].T


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
