"""How DETR's decoder looks at an image: plainly, by content and place apart, or at points around a box.

B batch, Q queries, S places of all maps, D width, H heads, K head size, P points a head and map.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from models.arrays import AnyArray
from models.attention import Heads, MultiHeadAttention, together
from models.kernel_choice import Kernel
from models.kernels import attention, attention_weights, weighted_values
from models.masks import Mask

Kind = Literal["plain", "conditional", "deformable"]
POINTS = 4  # P, as published
PERIOD = 10_000.0  # the longest, of sinusoids of a place
XAVIER = nn.initializers.xavier_uniform()


def sinusoids(place: Float[Array, "..."], width: int) -> Float[Array, "... F"]:
    """sin and cos, by turns, of a place in [0, 1] times 2 pi over periods from 1 to 10,000 (F = width)."""
    angle = place[..., None] * (2 * np.pi / PERIOD ** (np.arange(0, width, 2) / width))
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*place.shape, width)


def sinusoids_2d(x: Float[Array, "..."], y: Float[Array, "..."], width: int) -> Float[Array, "... D"]:
    """Half of the width says where in y, the other half where in x."""
    return jnp.concatenate([sinusoids(y, width // 2), sinusoids(x, width // 2)], axis=-1)


class PlacedAttention(MultiHeadAttention):
    """Attention whose queries and keys have places added, and whose values have none (2005.12872, appendix A.3)."""

    def __call__(  # type: ignore[override]
        self,
        x: Float[Array, "B Q D"],
        memory: Float[Array, "B S D"],
        place: Float[Array, "#B Q D"],
        memory_place: Float[Array, "#B S D"],
        mask: Mask | Bool[AnyArray, "..."] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B Q D"]:
        """From x at `place` to memory at `memory_place`."""
        if memory is x and memory_place is place:
            query, key = together(x + place, [self.query, self.key])
        else:
            query, key = self.query(x + place), self.key(memory + memory_place)
        return self._attend(query, key, self.value(memory), mask, None, train)


class ConditionalAttention(nn.Module):
    """Scores are of content plus of place, each by matrices of its own (2108.06152, section 3.3); the place of a query
    is that of its box, scaled by what the query holds (equation 6).

    Attributes:
      heads: H.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters are float32.
    """

    heads: int
    kernel: Kernel
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B Q D"],
        memory: Float[Array, "B S D"],
        place: Float[Array, "B Q D"],
        memory_place: Float[Array, "#B S D"],
        mask: Bool[AnyArray, "B 1 1 S"],
    ) -> Float[Array, "B Q D"]:
        """From x, whose boxes' middles have the sinusoids `place`, to memory."""
        width = x.shape[-1]
        heads = partial(Heads, self.heads, width // self.heads, True, XAVIER, self.dtype)
        scale = nn.Dense(width, dtype=self.dtype, name="scale")(
            nn.relu(nn.Dense(width, dtype=self.dtype, name="scale_hidden")(x))
        )
        memory_place = jnp.broadcast_to(memory_place, memory.shape)
        parts = [heads(name="query")(x), heads(name="query_place")(place * scale)]
        query = jnp.concatenate(parts, axis=-1)
        parts = [heads(name="key")(memory), heads(name="key_place")(memory_place)]
        key, value = jnp.concatenate(parts, axis=-1), heads(name="value")(memory)
        if self.is_mutable_collection("probe"):
            weights = attention_weights(query, key, mask)
            self.sow("probe", "attention", weights)
            out = weighted_values(weights, value)
        else:
            out = attention(query, key, value, mask, kernel=self.kernel)
        return nn.DenseGeneral(width, axis=(-2, -1), kernel_init=XAVIER, dtype=self.dtype, name="out")(out)


class DeformableAttention(nn.Module):
    """Each head looks at P points of each map, around the query's box (2010.04159, equations 2 and 3).

    A point between places takes from the four around it by bilinear interpolation. This is written as a matrix of
    weights over all places, which needs no gathering: maps are small here, and accelerators multiply faster than they
    gather.

    Attributes:
      heads: H.
      dtype: of the computation; parameters are float32.
    """

    heads: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B Q D"],
        memory: Float[Array, "B S D"],
        box: Float[Array, "B Q 4"],
        grids: Sequence[tuple[int, int]],
        extent: Float[AnyArray, "B 2"],
        mask: Bool[AnyArray, "B 1 1 S"],
    ) -> Float[Array, "B Q D"]:
        """From x, with boxes, to memory, the places of maps of so many rows and columns.

        Args:
          extent: the share of the rows and columns that is image.
          mask: where there is image.
        """
        width, levels = x.shape[-1], len(grids)
        value = Heads(self.heads, width // self.heads, True, XAVIER, self.dtype, name="value")(memory)
        value = jnp.where(mask[:, 0, 0, :, None, None], value, 0)
        shape = (*x.shape[:2], self.heads, levels, POINTS)
        zeros = nn.initializers.zeros
        dense = partial(nn.Dense, kernel_init=zeros, dtype=jnp.float32)
        offset = dense(2 * int(np.prod(shape[2:])), bias_init=_star(self.heads, levels), name="offset")(x)
        share = dense(int(np.prod(shape[2:])), bias_init=zeros, name="weight")(x)
        share = jax.nn.softmax(share.reshape(*shape[:3], -1)).reshape(shape)
        box = box[:, :, None, None, None].astype(jnp.float32)
        point = box[..., :2] + offset.reshape(*shape, 2) / POINTS * box[..., 2:] * 0.5  # (x, y)
        weights = []
        for level, (rows, columns) in enumerate(grids):
            y = point[..., level, :, 1] * (extent[:, 0] * rows)[:, None, None, None] - 0.5
            x_ = point[..., level, :, 0] * (extent[:, 1] * columns)[:, None, None, None] - 0.5
            down, right = _hat(y, rows), _hat(x_, columns)  # (B, Q, H, P, rows), (B, Q, H, P, columns)
            map_weights = jnp.einsum("bqhp,bqhpr,bqhpc->bhqrc", share[..., level, :], down, right)
            weights.append(map_weights.reshape(*map_weights.shape[:3], -1))
        whole = jnp.concatenate(weights, axis=-1).astype(self.dtype)
        self.sow("probe", "attention", whole)
        out = weighted_values(whole, value)
        return nn.DenseGeneral(width, axis=(-2, -1), kernel_init=XAVIER, dtype=self.dtype, name="out")(out)


def _hat(place: Float[Array, "..."], size: int) -> Float[Array, "... size"]:
    """Weights of linear interpolation over the places 0 ... size - 1; beyond them nothing is taken."""
    return jnp.maximum(0, 1 - jnp.abs(place[..., None] - jnp.arange(size)))


def _star(heads: int, levels: int) -> nn.initializers.Initializer:
    """Offsets that begin in another direction for each head, and farther out for each point (appendix A.4)."""
    angle = np.arange(heads) * (2 * np.pi / heads)
    way = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    way = way / np.abs(way).max(-1, keepdims=True)
    star = np.broadcast_to(way[:, None, None], (heads, levels, POINTS, 2)) * np.arange(1, POINTS + 1)[:, None]
    return lambda key, shape, dtype=jnp.float32: jnp.asarray(star.reshape(shape), dtype)
