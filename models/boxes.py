"""Boxes as DETR has them, (x, y, width, height) of middle and sides, shares of the image; and how far two are apart.

B batch, Q boxes of one set, M of the other.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EPSILON = 1e-6


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


def logit(x: Float[Array, "..."], epsilon: float = 1e-5) -> Float[Array, "..."]:
    """The inverse of the sigmoid, of numbers from epsilon to 1 - epsilon."""
    x = jnp.clip(x, epsilon, 1 - epsilon)
    return jnp.log(x / (1 - x))
