"""ViT's own self-supervision (2010.11929, appendix B.1.2): half of the patches are corrupted, and their mean colours told.

B batch, N patches, D width.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from errors import UserError
from models import masking, vit


class Model(vit.Model):
    """A ViT, all of whose parameters a classifier can begin with (config.init_from), and `prediction`.

    Attributes:
      outputs: 0 returns the representation of the whole image, as a ViT does. masked: the share of patches that are corrupted.
      colors: the number of mean colours that are told apart: 8 for each channel, 512.
      The others: see models/vit.py.
    """

    masked: float = 0.5
    colors: int = 512

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> Any:
        """image: (B, height, width, channels). Returns float32 logits of each patch's mean colour (B, N, colors), and
        which patches were corrupted, bool (B, N). Out of training the same ones always are."""
        if not self.outputs:
            return self.represent(image, train).astype(jnp.float32)
        found: list[jax.Array] = []

        def corrupt(x: jax.Array) -> jax.Array:
            count = round(self.masked * x.shape[1])
            if not 0 < count <= x.shape[1]:
                raise UserError(f"config.model.masked={self.masked} corrupts {count} of {x.shape[1]} patches.")
            mask = self.param("prediction_mask", nn.initializers.normal(0.02), (1, 1, x.shape[2])).astype(x.dtype)
            key = self.make_rng("dropout") if train else jax.random.key(0)
            x, chosen = masking.corrupt(key, x, mask, count)
            found.append(chosen)
            return x

        x = self.encode(self.embed(image, train, corrupt), train, self.grid(image))[:, len(vit.TOKENS[self.head]) :]
        return nn.Dense(self.colors, dtype=x.dtype, name="prediction")(x).astype(jnp.float32), found[0]
