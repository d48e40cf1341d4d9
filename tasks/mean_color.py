"""The mean colours of corrupted patches (2010.11929, appendix B.1.2).

B batch, N patches.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import Apply, Sums
from tasks.reconstruct import patches

LEVELS = 8  # three bits a channel


@dataclass(frozen=True)
class Task:
    """Cross-entropy of each corrupted patch's mean colour, of 8 levels a channel.

    Attributes:
      mean, std: of each channel, as config.data has them: by these the images were normalised.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    inputs: tuple[str, ...] = ("image",)
    unit = "images"

    def sums(self, apply: Apply, batch: dict[str, jax.Array], train: bool) -> Sums:
        """apply: image (B, height, width, channels) -> logits (B, N, 8^channels), corrupted bool (B, N). batch: image,
        mask float (B,)."""
        logits, corrupted = apply(batch["image"])
        label = self.labels(batch["image"], logits.shape[1])
        nll = -jnp.take_along_axis(jax.nn.log_softmax(logits), label[..., None], axis=-1)[..., 0]
        right = (logits.argmax(-1) == label).astype(jnp.float32)
        weight = batch["mask"].sum()
        of_image = lambda x: jnp.sum(jnp.sum(x * corrupted, 1) / corrupted.sum(1) * batch["mask"])  # noqa: E731
        return {"loss": (of_image(nll), weight), "accuracy": (of_image(right), weight)}

    def labels(self, image: jax.Array, count: int) -> jax.Array:
        """The colour of each of the `count` patches: int32 (B, N)."""
        pixels = image * jnp.asarray(self.std) + jnp.asarray(self.mean)  # in [0, 1]
        average = patches(pixels, (count,)).reshape(image.shape[0], count, -1, image.shape[-1]).mean(2)
        level = jnp.clip(jnp.floor(average * LEVELS), 0, LEVELS - 1).astype(jnp.int32)
        return jnp.sum(level * LEVELS ** jnp.arange(image.shape[-1]), axis=-1)

    def summaries(self, scores: dict[str, float]) -> dict[str, float]:
        return {}
