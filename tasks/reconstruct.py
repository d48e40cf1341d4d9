"""The pixels of hidden patches (2111.06377).

B batch, N patches, P patch size.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import Apply, Sums


@dataclass(frozen=True)
class Task:
    """Mean squared error over hidden patches.

    Attributes:
      normalised: whether each patch's pixels are first brought to mean 0 and variance 1.
    """

    normalised: bool = True
    inputs: tuple[str, ...] = ("image",)
    unit = "images"

    def sums(self, apply: Apply, batch: dict[str, jax.Array], train: bool) -> Sums:
        """apply: image (B, height, width, channels) -> drawn (B, N, P * P * channels), hidden bool (B, N). batch: image,
        mask float (B,)."""
        drawn, hidden = apply(batch["image"])
        target = patches(batch["image"], drawn.shape[1:])
        if self.normalised:
            target = (target - target.mean(-1, keepdims=True)) / jnp.sqrt(target.var(-1, keepdims=True) + 1e-6)
        error = jnp.square(drawn - target).mean(-1)
        loss = jnp.sum(error * hidden, axis=1) / hidden.sum(1)
        return {"loss": (jnp.sum(loss * batch["mask"]), batch["mask"].sum())}

    def summaries(self, scores: dict[str, float]) -> dict[str, float]:
        return {}


def patches(image: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """(B, height, width, channels) as N patches row by row: (B, N, P * P * channels), of which shape is (N, ...)."""
    batch, height, width, channels = image.shape
    side = round((height * width / shape[0]) ** 0.5)
    x = image.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, shape[0], -1)
