"""Two paths between images and noise: the loss of a model on each, and sampling.

B batch; a level of noise is from 0, an image, to 1, noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

TIMES = 1000  # of a diffusion; also what a model is told for a level of 1
BINS = 255  # of a pixel's values, from -1 to 1

Path = Literal["flow", "diffusion"]
Model = Callable[[Float[Array, "B ..."], Float[Array, " B"]], Float[Array, "B ..."]]  # noisy images, times


class Noise(Protocol):
    """A path."""

    def loss(
        self, model: Model, image: Float[Array, "B ..."], noise: Float[Array, "B ..."], level: Float[Array, " B"]
    ) -> dict[str, Float[Array, " B"]]:
        """The loss of each image, and its parts."""

    def sample(self, model: Model, noise: Float[Array, "B ..."], steps: int) -> Float[Array, "B ..."]:
        """Images from noise, in so many steps."""


def along(x: Float[Array, " B"], like: jax.Array) -> jax.Array:
    """A number for each image, as an array that broadcasts with them."""
    return x.reshape(-1, *[1] * (like.ndim - 1))


def per_image(x: Float[Array, "B ..."]) -> Float[Array, " B"]:
    """The mean over all but the batch."""
    return x.reshape(x.shape[0], -1).mean(1)


@dataclass(frozen=True)
class Flow:
    """A straight line, x_s = (1 - s) x + s noise. The model learns its velocity, noise - x (2210.02747, 2209.03003)."""

    def loss(
        self, model: Model, image: Float[Array, "B ..."], noise: Float[Array, "B ..."], level: Float[Array, " B"]
    ) -> dict[str, Float[Array, " B"]]:
        """The squared error of the velocity."""
        s = along(level, image)
        found = model((1 - s) * image + s * noise, TIMES * level)
        return {"loss": per_image(jnp.square(found - (noise - image)))}

    def sample(self, model: Model, noise: Float[Array, "B ..."], steps: int) -> Float[Array, "B ..."]:
        """Against the velocity, by Euler's method."""
        levels = jnp.linspace(1.0, 0.0, steps + 1)

        def step(x: jax.Array, ends: jax.Array) -> tuple[jax.Array, None]:
            here, there = ends
            return x - (here - there) * model(x, jnp.full(x.shape[0], TIMES * here)), None

        return jax.lax.scan(step, noise, jnp.stack([levels[:-1], levels[1:]], axis=1))[0]


def betas(schedule: Literal["linear", "cosine"]) -> Float32[np.ndarray, " times"]:
    """The noise that each time adds: linearly more (2006.11239), or so that what is left of the image falls as a cosine
    (2102.09672, equation 17)."""
    if schedule == "linear":
        return np.linspace(1e-4, 0.02, TIMES, dtype=np.float32)
    left = np.cos((np.arange(TIMES + 1) / TIMES + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - left[1:] / left[:-1], 0.999).astype(np.float32)


@dataclass(frozen=True)
class Diffusion:
    """x_t = sqrt(a_t) x + sqrt(1 - a_t) noise. The model learns the noise (2006.11239, equation 14) and, where it
    returns twice as many channels, the variance of a step back (2102.09672, section 3.1).

    Attributes:
      schedule: see betas.
      clip: how far from 0 an image goes that is found on the way back; 0 for no end.
    """

    schedule: Literal["linear", "cosine"]
    clip: float = 0.0

    @property
    def left(self) -> Float32[np.ndarray, " times"]:
        """a_t."""
        return np.cumprod(1 - betas(self.schedule).astype(np.float64)).astype(np.float32)

    def loss(
        self, model: Model, image: Float[Array, "B ..."], noise: Float[Array, "B ..."], level: Float[Array, " B"]
    ) -> dict[str, Float[Array, " B"]]:
        """The squared error of the noise; with a learned variance also the variational bound in bits a pixel, whose
        gradient reaches only the variance."""
        time = jnp.minimum((TIMES * level).astype(jnp.int32), TIMES - 1)
        left = along(jnp.asarray(self.left)[time], image)
        noisy = jnp.sqrt(left) * image + jnp.sqrt(1 - left) * noise
        found = model(noisy, time.astype(jnp.float32))
        if found.shape == image.shape:
            return {"loss": per_image(jnp.square(found - noise))}
        found, fraction = jnp.split(found, 2, axis=-1)
        error = per_image(jnp.square(found - noise))
        bound = self._bound(image, noisy, jax.lax.stop_gradient(found), fraction, time)
        return {"loss": error + bound, "squared_error": error, "bound": bound}

    def _bound(
        self, image: jax.Array, noisy: jax.Array, noise: jax.Array, fraction: jax.Array, time: jax.Array
    ) -> Float[Array, " B"]:
        """One term of the variational bound, in bits a pixel.

        Args:
          noise: as the model finds it.
          fraction: where the logarithm of the variance lies between its bounds, from -1 to 1.
        """
        beta, left = betas(self.schedule), self.left
        before = np.append(1.0, left[:-1]).astype(np.float32)
        posterior = beta * (1 - before) / (1 - left)
        least = np.log(np.append(posterior[1], posterior[1:]))  # of the first, which is 0

        def at(values: np.ndarray) -> jax.Array:
            return along(jnp.asarray(values.astype(np.float32))[time], image)

        of_image, of_noisy = at(np.sqrt(before) * beta / (1 - left)), at((1 - before) * np.sqrt(1 - beta) / (1 - left))
        drawn = (noisy - at(np.sqrt(1 - left)) * noise) / at(np.sqrt(left))
        true, mean = of_image * image + of_noisy * noisy, of_image * drawn + of_noisy * noisy
        low, high = at(least), at(np.log(beta))
        log_variance = low + (fraction + 1) / 2 * (high - low)
        apart = jnp.exp(low - log_variance) + jnp.square(true - mean) * jnp.exp(-log_variance)
        divergence = 0.5 * (log_variance - low - 1 + apart)
        deviation = jnp.exp(0.5 * log_variance)

        def below(x: jax.Array) -> jax.Array:
            return jax.scipy.stats.norm.cdf((x - mean) / deviation)

        upper = jnp.where(image > 1 - 1 / BINS, 1.0, below(image + 1 / BINS))
        lower = jnp.where(image < 1 / BINS - 1, 0.0, below(image - 1 / BINS))
        first = -jnp.log(jnp.maximum(upper - lower, 1e-12))
        return per_image(jnp.where(along(time, image) == 0, first, divergence)) / np.log(2)

    def sample(self, model: Model, noise: Float[Array, "B ..."], steps: int) -> Float[Array, "B ..."]:
        """DDIM (2010.02502, equation 12 with a sigma of 0), at times evenly apart."""
        times = np.linspace(TIMES - 1, 0, steps).round().astype(np.int32)
        left = jnp.asarray(np.append(self.left[times], 1.0).astype(np.float32))

        def step(x: jax.Array, at: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            time, here, there = at
            found = model(x, jnp.full(x.shape[0], time, jnp.float32))[..., : x.shape[-1]]
            image = (x - jnp.sqrt(1 - here) * found) / jnp.sqrt(here)
            if self.clip:  # where little is left of the image, a small error of the noise is a large one of it
                image = jnp.clip(image, -self.clip, self.clip)
                found = (x - jnp.sqrt(here) * image) / jnp.sqrt(1 - here)
            return jnp.sqrt(there) * image + jnp.sqrt(1 - there) * found, None

        return jax.lax.scan(step, noise, (jnp.asarray(times), left[:-1], left[1:]))[0]
