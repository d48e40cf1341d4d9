"""ViT's own self-supervision (2010.11929, appendix B.1.2): half of the patches are corrupted, and the model predicts
their mean colours.

B batch, N patches, D width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int32

from errors import UserError
from lookup import Probability, Size
from models import masking, vit
from models.arrays import AnyArray


class Model(vit.Model):
    """A ViT, whose parameters a classifier can begin with (config.init_from), and a linear layer, `prediction`.

    Attributes:
      outputs: 0 returns the representation of the whole image, as a ViT does.
      masked: the share of patches that are corrupted.
      colors: the number of classes of mean colours: 8 levels of each of 3 channels make 512.
    """

    masked: Probability = 0.5
    colors: Size = 512

    @nn.compact
    def __call__(  # type: ignore[override]  # two arrays, where a ViT has one
        self,
        image: Float[AnyArray, "B height width channels"],
        index: Int32[AnyArray, " B"] | None = None,
        *,
        train: bool,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """The logits of each patch's mean colour, float32 (B, N, colors), and which patches were corrupted, bool
        (B, N).

        Args:
          index: the images' places in their split, which decide outside of training what is corrupted of each.

        Raises:
          UserError: a share that corrupts no patch.
        """
        if not self.outputs:
            return self.represent(image, train).astype(jnp.float32)
        corrupted: list[jax.Array] = []

        def corrupt(x: jax.Array) -> jax.Array:
            count = round(self.masked * x.shape[1])
            if not 0 < count <= x.shape[1]:
                raise UserError(f"config.model.masked={self.masked} corrupts {count} of {x.shape[1]} patches.")
            mask = self.param("prediction_mask", nn.initializers.normal(0.02), (1, 1, x.shape[2])).astype(x.dtype)
            if train:
                x, chosen = masking.corrupt(self.make_rng("dropout"), x, mask, count)
            else:
                each = jax.vmap(lambda key, one: masking.corrupt(key, one[None], mask, count))
                x, chosen = (found[:, 0] for found in each(masking.keys(index, x.shape[0]), x))
            corrupted.append(chosen)
            return x

        x = self.encode(self.embed(image, train, corrupt), train, self.grid(image))[:, self.extra :]
        return nn.Dense(self.colors, dtype=x.dtype, name="prediction")(x).astype(jnp.float32), corrupted[0]


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    return vit.debug(section)
