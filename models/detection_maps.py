"""What a detector looks at: the places of all maps of an image as one sequence.

B batch, S places of all maps, D width.
"""

from collections.abc import Sequence

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from models.attention import XAVIER
from models.detection_attention import sinusoids_2d
from models.encoder import layer_norm
from models.trunks import Map

EPSILON = 1e-5  # of LayerNorm


@flax.struct.dataclass
class Image:
    """What the decoder looks at: the places of all maps, row by row, the finest map first.

    Attributes:
      memory: (B, S, D).
      place: sinusoids of each place (B, S, D).
      mask: bool (B, 1, 1, S), where there is image and no padding.
      middle: (B, S, 2), the middle of each place (x, y) as shares of the image.
      extent: (B, 2), the image's share of rows and columns.
      grids: rows and columns of each map.
    """

    memory: Float[Array, "B S D"]
    place: Float[Array, "B S D"]
    mask: Bool[Array, "B 1 1 S"]
    middle: Float[Array, "B S 2"]
    extent: Float[Array, "B 2"]
    grids: tuple[tuple[int, int], ...] = flax.struct.field(pytree_node=False)


def in_sequence(
    module: nn.Module,
    maps: Sequence[Map],
    extent: Float[Array, "B 2"],
    size: tuple[int, ...],
    width: int,
    normalised: bool,
    dtype: DTypeLike,
) -> Image:
    """The places of all maps, projected to one width. Called from a compact method.

    Args:
      module: gets the layers and parameters: `projection`, and of each of several maps `level_0` ...
      extent: the share of the image's height and width that is not padding.
      size: height and width of the image in pixels.
      width: D.
      normalised: whether there is LayerNorm after the projections: maps of several strides differ in size.
    """
    extent = jnp.clip(extent, 1 / 32, 1)
    memory, places, masks, middles = [], [], [], []
    for level, one in enumerate(maps):
        grid = rows, columns = one.features.shape[1:3]
        shape = (extent.shape[0], rows, columns)
        name = f"projection_{level}" if len(maps) > 1 else "projection"
        x = nn.Dense(width, kernel_init=XAVIER.kernel, dtype=dtype, name=name)(one.features)
        if normalised:
            x = layer_norm(dtype, f"{name}_norm", EPSILON)(x)
        # A place is padding where its first pixel is; along an axis, the n-th of N that are not stands at n / N.
        inside, rank, middle = [], [], []
        for axis, (places_, pixels) in enumerate(zip(grid, size, strict=True)):
            first = np.floor(np.arange(places_) * (pixels / places_))
            inner = first < jnp.round(extent[:, axis, None] * pixels)
            inside.append(inner)
            rank.append(jnp.minimum(np.arange(1, places_ + 1) / (inner.sum(1, keepdims=True) + 1e-6), 1.0))
            middle.append((np.arange(places_) + 0.5) / places_ / extent[:, axis, None])
        (y, x_), (down, right) = ((a[:, :, None], b[:, None, :]) for a, b in (rank, middle))
        place = sinusoids_2d(jnp.broadcast_to(x_, shape), jnp.broadcast_to(y, shape), width)
        both = [jnp.broadcast_to(one, shape) for one in (right, down)]
        middles.append(jnp.stack(both, axis=-1).reshape(shape[0], -1, 2))
        if len(maps) > 1:
            place = place + module.param(f"level_{level}", nn.initializers.normal(1.0), (width,))
        memory.append(x.reshape(shape[0], -1, width))
        places.append(place.reshape(shape[0], -1, width).astype(dtype))
        masks.append((inside[0][:, :, None] & inside[1][:, None, :]).reshape(shape[0], -1))
    x, place = jnp.concatenate(memory, axis=1), jnp.concatenate(places, axis=1)
    mask = jnp.concatenate(masks, axis=1)[:, None, None]
    grids = tuple((x.shape[1], x.shape[2]) for _, x in maps)
    return Image(x, place, mask, jnp.concatenate(middles, axis=1), extent, grids)
