"""The pixels of hidden patches (2111.06377).

B batch, N patches, P patch size.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import tasks
from tasks import Answer, Apply, Batch, Rows, Sums

GREY = 0.5  # of hidden patches in a picture
SHAPES = ((None, None, None), (None, None))  # of what a model returns for each patch, and whether it is judged


@dataclass(frozen=True)
class Task(tasks.Task):
    """Mean squared error over hidden patches.

    Attributes:
      normalised: whether each patch's pixels are first brought to mean 0 and variance 1.
      inputs: entries of a batch that the model is called with.
    """

    normalised: bool = True
    inputs: tuple[str, ...] = ("image",)
    unit = "images"

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """apply: image (B, height, width, channels) -> drawn (B, N, P * P * channels), hidden bool (B, N). batch:
        image, mask float (B,)."""
        del train
        drawn, hidden = tasks.returned(
            apply(batch["image"], index=batch.get("index")), "patches and which were hidden", *SHAPES
        )
        error = self._error(batch["image"], drawn, hidden)
        return {"loss": (jnp.sum(error * batch["mask"]), batch["mask"].sum())}

    def _error(self, image: jax.Array, drawn: jax.Array, hidden: jax.Array) -> Float[Array, " B"]:
        """The mean squared error over an image's hidden patches."""
        target = patches(image, drawn.shape[1:])
        if self.normalised:
            mean, deviation = _moments(target)
            target = (target - mean) / deviation
        return jnp.sum(jnp.square(drawn - target).mean(-1) * hidden, axis=1) / hidden.sum(1)

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`seen` and `drawn`, float (B, height, width, channels) normalised as the input: the image without its hidden
        patches, and with these as the model draws them; `error` (B,), the loss.

        With `normalised`, the model draws a patch's contrasts alone: the true patch gives their mean and scale."""
        del key
        image = batch["image"]
        drawn, hidden = apply(image, index=batch["index"], train=False)
        error, target = self._error(image, drawn, hidden), patches(image, drawn.shape[1:])
        if self.normalised:
            mean, deviation = _moments(target)
            drawn = drawn * deviation + mean
        where = hidden[..., None]
        seen = jnp.where(where, jnp.nan, target)  # `answer` shows these grey, whatever the normalisation
        return {
            "image": image,
            "seen": unpatched(seen, image.shape),
            "drawn": unpatched(jnp.where(where, drawn, target), image.shape),
            "error": error,
        }

    def answer(self, row: Mapping[str, np.ndarray], data: tasks.Data, most: int = 5) -> Answer:
        """The image, what the model saw of it, and what it drew, side by side. data: with `picture`."""
        del most
        shown = [data.picture(row[name]) for name in ("image", "seen", "drawn")]
        error = float(row["error"])
        whole = np.concatenate([np.nan_to_num(picture, nan=GREY) for picture in shown], axis=1)
        text = f"  mean squared error of the hidden patches {error:.4f}: image, what was seen, what was drawn"
        return Answer(text, {"error": error}, tasks.coloured(whole))


def _moments(target: jax.Array) -> tuple[jax.Array, jax.Array]:
    return target.mean(-1, keepdims=True), jnp.sqrt(target.var(-1, keepdims=True) + 1e-6)


def patches(image: Float[Array, "B height width channels"], shape: tuple[int, ...]) -> Float[Array, "B N pixels"]:
    """An image as N patches of P * P * channels values, row by row. shape: begins with N."""
    batch, height, width, channels = image.shape
    side = round((height * width / shape[0]) ** 0.5)
    x = image.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, shape[0], -1)


def unpatched(x: Float[Array, "B N pixels"], shape: tuple[int, ...]) -> Float[Array, "B height width channels"]:
    """The other way round. shape: of the images."""
    batch, height, width, channels = shape
    side = round((height * width / x.shape[1]) ** 0.5)
    x = x.reshape(batch, height // side, width // side, side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(shape)
