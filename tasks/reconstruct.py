"""The pixels of hidden patches (2111.06377) or tubelets (2203.12602).

B batch, N patches, P patch size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

import tasks
from tasks import Answer, Apply, Batch, Rows, Sums

GREY = 0.5  # of hidden patches in a picture
# Of what a model returns for each patch, and whether it is judged, by the number of an input's dimensions.
SHAPES = ((None, None, None), (None, None))
SHAPES_OF_CLIPS = ((None, None, None), (None, None, None, None))


@dataclass(frozen=True)
class Task(tasks.Task):
    """Mean squared error over hidden patches.

    Attributes:
      normalised: whether each patch's pixels are first brought to mean 0 and variance 1.
      by_channel: whether each channel of a patch by itself is, as VideoMAE does.
      inputs: entries of a batch that the model is called with: ("image",) or ("clip",).
    """

    normalised: bool = True
    by_channel: bool = False
    inputs: tuple[Literal["image", "clip"]] = ("image",)

    @property
    def unit(self) -> str:  # type: ignore[override]
        """What the loss is a mean of."""
        return {"image": "images", "clip": "clips"}.get(self.inputs[0], "examples")

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """apply: image (B, height, width, channels) -> drawn (B, N, P * P * channels), hidden bool (B, N); or clip
        (B, frames, height, width, channels) -> drawn (B, N, pixels), hidden bool (B, times, rows, columns). batch:
        image or clip, mask float (B,)."""
        del train
        x = batch[self.inputs[0]]
        drawn, hidden = tasks.returned(
            apply(x, index=batch.get("index")),
            "patches and which were hidden",
            *(SHAPES_OF_CLIPS if x.ndim == 5 else SHAPES),
        )
        error = self._error(x, drawn, hidden)
        return {"loss": (jnp.sum(error * batch["mask"]), batch["mask"].sum())}

    def _error(self, x: jax.Array, drawn: jax.Array, hidden: jax.Array) -> Float[Array, " B"]:
        """The mean squared error over an image's hidden patches."""
        target, where = patches(x, hidden.shape[1:]), _flat(hidden)
        if self.normalised:
            mean, deviation = self._moments(target, x.shape[-1])
            target = (target - mean) / deviation
        return jnp.sum(jnp.square(drawn - target).mean(-1) * where, axis=1) / where.sum(1)

    def _moments(self, target: jax.Array, channels: int) -> tuple[jax.Array, jax.Array]:
        """Mean and deviation of the pixels of each patch."""
        pixels = target.reshape(*target.shape[:2], -1, channels if self.by_channel else 1)
        moments = pixels.mean(-2), jnp.sqrt(pixels.var(-2) + 1e-6)
        mean, deviation = (jnp.tile(moment, target.shape[-1] // moment.shape[-1]) for moment in moments)
        return mean, deviation

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`seen` and `drawn`, float, of the input's shape and normalised as it: the input without its hidden patches,
        and with these as the model draws them; `error` (B,), the loss.

        With `normalised`, the model draws only a patch's contrasts: the true patch gives their mean and scale."""
        del key
        name = self.inputs[0]
        x = batch[name]
        drawn, hidden = apply(x, index=batch["index"], train=False)
        grid = hidden.shape[1:]
        error, target = self._error(x, drawn, hidden), patches(x, grid)
        if self.normalised:
            mean, deviation = self._moments(target, x.shape[-1])
            drawn = drawn * deviation + mean
        where = _flat(hidden)[..., None]
        seen = jnp.where(where, jnp.nan, target)  # `answer` shows these grey, whatever the normalisation
        return {
            name: x,
            "seen": unpatched(seen, x.shape, grid),
            "drawn": unpatched(jnp.where(where, drawn, target), x.shape, grid),
            "error": error,
        }

    def answer(self, row: Mapping[str, np.ndarray], data: tasks.Data, most: int = 5) -> Answer:
        """The input, what the model saw of it, and what it drew: of an image side by side, of a clip one below the
        other, frame by frame. data: with `picture`."""
        del most
        shown = [np.nan_to_num(data.picture(row[name]), nan=GREY) for name in (self.inputs[0], "seen", "drawn")]
        error = float(row["error"])
        if shown[0].ndim == 4:
            whole = np.concatenate([np.concatenate(list(clip), axis=1) for clip in shown], axis=0)
        else:
            whole = np.concatenate(shown, axis=1)
        what = self.inputs[0]
        text = f"  mean squared error of the hidden patches {error:.4f}: {what}, what was seen, what was drawn"
        return Answer(text, {"error": error}, tasks.coloured(whole))


def _flat(hidden: Bool[Array, "B ..."]) -> Bool[Array, "B N"]:
    return hidden.reshape(len(hidden), -1)


def _grid(shape: tuple[int, ...], grid: tuple[int, ...]) -> tuple[int, ...]:
    """Patches along each axis of inputs of this shape. grid: these, or N of an image's square patches first."""
    if len(shape) == 5:
        return grid
    side = round((shape[1] * shape[2] / grid[0]) ** 0.5)
    return shape[1] // side, shape[2] // side


def patches(x: Float[Array, "B *size channels"], grid: tuple[int, ...]) -> Float[Array, "B N pixels"]:
    """An image as N patches of P * P * channels values, row by row; or a clip as tubelets, frames first.

    Args:
      grid: times, rows and columns of a clip's tubelets; of an image it begins with N.
    """
    parts = _grid(x.shape, grid)
    axes = [n for size, count in zip(x.shape[1:-1], parts, strict=True) for n in (count, size // count)]
    whole = x.reshape(len(x), *axes, x.shape[-1])
    counts, sides = range(1, 2 * len(parts), 2), range(2, 2 * len(parts) + 1, 2)
    return whole.transpose(0, *counts, *sides, whole.ndim - 1).reshape(len(x), prod(parts), -1)


def unpatched(
    x: Float[Array, "B N pixels"], shape: tuple[int, ...], grid: tuple[int, ...] | None = None
) -> Float[Array, "B *size channels"]:
    """The other way round.

    Args:
      shape: of the images or clips.
      grid: as for `patches`; of images N when None.
    """
    parts = _grid(shape, grid or x.shape[1:])
    sides = [size // count for size, count in zip(shape[1:-1], parts, strict=True)]
    whole = x.reshape(len(x), *parts, *sides, shape[-1])
    places = [axis for i in range(len(parts)) for axis in (1 + i, 1 + len(parts) + i)]
    return whole.transpose(0, *places, whole.ndim - 1).reshape(shape)
