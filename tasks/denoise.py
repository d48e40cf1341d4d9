"""Images from noise, of a class that is asked for.

B batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import jax
import numpy as np
from annotated_types import Interval
from jaxtyping import Array, Float
from pydantic import NonNegativeFloat

import tasks
from errors import UserError
from tasks import Answer, Apply, Batch, Data, Rows, Sums, noise
from tasks.sample_quality import Metrics


@dataclass(frozen=True)
class Task(tasks.Task):
    """A model learns on noisy images what leads back to the images.

    Attributes:
      path: between images and noise: "flow", a straight line; or "diffusion". See tasks/noise.py.
      schedule: of a diffusion: "linear" or "cosine".
      clip: how far from 0 an image goes that a diffusion finds on the way back: 1 for pixels from -1 to 1; 0 for no
        end, as latents have. The cosine schedule needs it: its first steps back divide the model's error by almost 0.
      sampling_steps: of the way back; the more, the closer it is followed.
      guidance: the scale of classifier-free guidance (2207.12598): how far the prediction for a class is moved away
        from that for no class; 1 for not at all.
      quality: whether an evaluation draws an image for each of a split and judges them: see tasks/sample_quality.py.
    """

    path: noise.Path = "flow"
    schedule: Literal["linear", "cosine"] = "linear"
    clip: NonNegativeFloat = 0.0
    sampling_steps: Annotated[int, Interval(ge=1, le=10_000)] = 50
    guidance: Annotated[float, Interval(ge=0, le=100)] = 1.0
    quality: bool = True
    inputs = ("image", "label")
    unit = "images"

    def check(self, outputs: int | None) -> None:
        """No more steps than a diffusion has times, and an end where the schedule needs one."""
        if self.path == "diffusion" and self.sampling_steps > noise.TIMES:
            raise UserError(f"config.task.sampling_steps={self.sampling_steps}: a diffusion has {noise.TIMES} times.")
        if self.path == "diffusion" and self.schedule == "cosine" and not self.clip:
            raise UserError(
                "config.task.schedule=cosine needs config.task.clip, the largest value of an image: 1 for pixels from "
                "-1 to 1 (config.data.mean and std of 0.5)."
            )

    @property
    def _noise(self) -> noise.Noise:
        return noise.Flow() if self.path == "flow" else noise.Diffusion(self.schedule, self.clip)

    def sums(self, apply: Apply, batch: Batch, train: bool) -> Sums:
        """The loss at one level of noise for each image.

        Args:
          apply: image (B, height, width, channels), time (B,), label (B,) -> (B, height, width, channels), or twice the
            channels; method="draw": image -> noise and levels (B,).
          batch: image, label, mask float (B,); index in evaluation.
        """
        del train
        image, mask = batch["image"], batch["mask"]
        drawn, level = apply(image, batch.get("index"), method="draw")

        def model(noisy: jax.Array, time: jax.Array) -> jax.Array:
            return self._output(apply(noisy, time, batch["label"]), image)

        each = self._noise.loss(model, image, drawn, level)
        return {name: ((x * mask).sum(), mask.sum()) for name, x in each.items()}

    def _output(self, output: jax.Array, image: jax.Array) -> jax.Array:
        """What a model returned, if it fits.

        Raises:
          UserError: no image, or a variance where the path has none.
        """
        *size, channels = image.shape
        if self.path == "flow" and output.shape == (*size, 2 * channels):
            raise UserError("config.model.learned_variance needs config.task.path=diffusion: a flow has no variance.")
        tasks.returned(output, "an image", (*size, channels if output.shape[-1] == channels else 2 * channels))
        return output

    def predict(self, apply: Apply, batch: Batch, key: jax.Array) -> Rows:
        """`sample`, an image of each row's class, normalised as the input; `label`; and in evaluation the split's own
        `image`."""
        image, label = batch["image"], batch["label"]

        def model(noisy: jax.Array, time: jax.Array) -> Float[Array, "B height width outputs"]:
            found = self._output(apply(noisy, time, label, train=False), image)
            if self.guidance == 1:
                return found
            free = apply(noisy, time, None, train=False)
            return free + self.guidance * (found - free)

        start = jax.vmap(lambda own: jax.random.normal(own, image.shape[1:]))(key)
        rows = {"sample": self._noise.sample(model, start, self.sampling_steps), "label": label}
        return rows | ({"image": image} if "mask" in batch else {})

    def metrics(self, data: Data, split: str) -> Metrics | None:
        """How good the samples are."""
        del split
        return Metrics(data) if self.quality else None

    def answer(self, row: Mapping[str, np.ndarray], data: Data, most: int = 5) -> Answer:
        """The sample, of more than three channels the first ones. data: with `classes` and `picture`."""
        del most
        name = data.classes[int(row["label"])]
        return Answer(f"  drawn: {name}", {"class": name}, tasks.coloured(data.picture(row["sample"])[..., :3]))
