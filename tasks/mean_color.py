"""The mean colours of corrupted patches (2010.11929, appendix B.1.2).

B batch, N patches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from pydantic import PositiveFloat

import tasks
from errors import UserError
from tasks import Answer, Apply, Batch, Rows, Sums
from tasks.reconstruct import SHAPES, patches, unpatched

LEVELS = 8  # three bits a channel


@dataclass(frozen=True)
class Task(tasks.Task):
    """Cross-entropy of each corrupted patch's mean colour, of 8 levels a channel.

    Attributes:
      mean: of each channel, as in config.data: the images were normalised by it.
      std: of each channel, as in config.data.
      inputs: entries of a batch that the model is called with.
    """

    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]
    inputs: tuple[Literal["image"]] = ("image",)
    unit = "images"

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """apply: image (B, height, width, channels) -> logits (B, N, 8^channels), corrupted bool (B, N). batch: image,
        mask float (B,)."""
        del train
        logits, corrupted = tasks.returned(
            apply(batch["image"], index=batch.get("index")), "logits and which patches were corrupted", *SHAPES
        )
        nll, right = self._judged(batch["image"], logits)
        weight = batch["mask"].sum()

        def of_images(x: jax.Array) -> jax.Array:
            return jnp.sum(jnp.sum(x * corrupted, 1) / corrupted.sum(1) * batch["mask"])

        return {"loss": (of_images(nll), weight), "accuracy": (of_images(right), weight)}

    def _judged(self, image: jax.Array, logits: jax.Array) -> tuple[Float[Array, "B N"], Bool[Array, "B N"]]:
        """Of each patch: the negative log-likelihood of its colour, and whether it is the likeliest.

        Raises:
          UserError: a model of fewer colours than there are.
        """
        if logits.shape[-1] < (colours := LEVELS ** image.shape[-1]):
            raise UserError(
                f"config.model.colors={logits.shape[-1]} are fewer than the {colours} of {image.shape[-1]} channels "
                f"with {LEVELS} levels each."
            )
        return tasks.scored(logits, self.labels(image, logits.shape[1]))

    def labels(self, image: Float[Array, "B height width channels"], count: int) -> Int[Array, "B N"]:
        """The colour of each of the `count` patches.

        Raises:
          UserError: another number of channels than `mean` and `std` have.
        """
        if not len(self.mean) == len(self.std) == image.shape[-1]:
            raise UserError(
                f"config.task.mean={self.mean} and std={self.std} need a number for each of {image.shape[-1]} channels."
            )
        pixels = image * jnp.asarray(self.std) + jnp.asarray(self.mean)  # in [0, 1]
        average = patches(pixels, (count,)).reshape(image.shape[0], count, -1, image.shape[-1]).mean(2)
        level = jnp.clip(jnp.floor(average * LEVELS), 0, LEVELS - 1).astype(jnp.int32)
        return jnp.sum(level * LEVELS ** jnp.arange(image.shape[-1]), axis=-1)

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`drawn` float (B, height, width, channels): each patch in the middle of the colour that the model names;
        `accuracy` (B,) over the corrupted patches."""
        del key
        image = batch["image"]
        logits, corrupted = apply(image, index=batch["index"], train=False)
        _, right = self._judged(image, logits)
        level = logits.argmax(-1)[..., None] // LEVELS ** jnp.arange(image.shape[-1]) % LEVELS
        colour = ((level + 0.5) / LEVELS - jnp.asarray(self.mean)) / jnp.asarray(self.std)
        pixels = patches(image, (logits.shape[1],)).shape[-1] // image.shape[-1]
        drawn = unpatched(jnp.repeat(colour[:, :, None], pixels, 2).reshape(*logits.shape[:2], -1), image.shape)
        accuracy = jnp.sum(right * corrupted, 1) / corrupted.sum(1)
        return {"image": image, "drawn": drawn.astype(image.dtype), "accuracy": accuracy}

    def answer(self, row: Mapping[str, np.ndarray], data: tasks.Data, most: int = 5) -> Answer:
        """The image, and the colours that the model names, side by side. data: with `picture`."""
        del most
        accuracy = float(row["accuracy"])
        whole = np.concatenate([data.picture(row[name]) for name in ("image", "drawn")], axis=1)
        text = f"  {accuracy:.2%} of the corrupted patches' mean colours are right: image, colours"
        return Answer(text, {"accuracy": accuracy}, tasks.coloured(whole))
