"""Boxes as DETR has them, (x, y, width, height) of middle and sides, shares of the image; how far two are apart; and
what a model says of the boxes of a batch, which tasks read.

B batch, Q queries, S places of all maps, C classes, L layers of the decoder, N noised boxes.
"""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

EPSILON = 1e-12  # far below the area of the smallest box: four pixels of a photo are 1e-6 of it


@flax.struct.dataclass
class Detections:
    """What DETR says of a batch, after each layer of its decoder.

    Attributes:
      logits: float32 (L, B, Q, C), of each class by itself; or (L, B, Q, C + 1), the last of no object.
      boxes: float32 (L, B, Q, 4), (x, y, width, height) as shares of the image.
      noised: the same of the noised queries, in the order of the groups; None where there are none.
      proposed: the same of the places of the maps; None where queries are not chosen from them.
      no_object: which of the two `logits` are.
    """

    logits: Float32[Array, "L B Q C"]
    boxes: Float32[Array, "L B Q 4"]
    noised: tuple[Float32[Array, "L B N C"], Float32[Array, "L B N 4"]] | None = None
    proposed: tuple[Float32[Array, "1 B S C"], Float32[Array, "1 B S 4"]] | None = None
    no_object: bool = flax.struct.field(pytree_node=False, default=True)


def centred(box: Float[Array, "... 4"]) -> Float[Array, "... 4"]:
    """(ymin, xmin, ymax, xmax), as data sets have boxes, -> (x, y, width, height)."""
    top, left, bottom, right = jnp.moveaxis(box, -1, 0)
    return jnp.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], axis=-1)


def corners(box: Float[Array, "... 4"]) -> Float[Array, "... 4"]:
    """(x, y, width, height) -> (ymin, xmin, ymax, xmax)."""
    x, y, width, height = jnp.moveaxis(box, -1, 0)
    return jnp.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=-1)


def overlap(a: Float[Array, "... 4"], b: Float[Array, "... 4"]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Intersection over union, and its generalisation (1902.09630, algorithm 1), of boxes given by their corners."""
    area_a, area_b = area(a), area(b)
    shared = _sides(jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:]))
    whole = _sides(jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:]))
    union = area_a + area_b - shared
    iou = shared / (union + EPSILON)
    return iou, iou - (whole - union) / (whole + EPSILON)


def area(box: Float[Array, "... 4"]) -> Float[Array, "..."]:
    """Of a box given by its corners; 0 of one whose sides are in the wrong order."""
    return _sides(box[..., :2], box[..., 2:])


def _sides(low: jax.Array, high: jax.Array) -> jax.Array:
    return jnp.maximum(high - low, 0).prod(-1)


def logit(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The inverse of the sigmoid, of numbers that are kept 1e-5 away from 0 and 1."""
    return jax.scipy.special.logit(jnp.clip(x, 1e-5, 1 - 1e-5))
