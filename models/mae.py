"""Masked autoencoder (2111.06377): the encoder sees a quarter of the patches, a small decoder reconstructs the others.

B batch, N patches, D width, P patch size.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32

from errors import UserError
from lookup import Depth, Probability, Size
from models import masking, vit
from models.arrays import AnyArray
from models.attention import PLAIN, Options
from models.encoder import Encoder, Remat
from models.kernel_choice import Kernel
from models.positions import AddPositions, Kind


class Model(vit.Model):
    """A ViT, whose parameters a classifier can begin with (config.init_from), and a decoder, `reconstruction`.

    Attributes:
      outputs: 0 returns the representation of the whole image, as a ViT does.
      masked: the share of patches that are hidden.
      decoder_width: of the decoder; its MLPs are four times as wide.
      decoder_depth: the number of the decoder's layers.
      decoder_heads: of the decoder.
    """

    masked: Probability = 0.75
    decoder_width: Size = 512
    decoder_depth: Depth = 8
    decoder_heads: Size = 16

    @nn.compact
    def __call__(  # type: ignore[override]  # two arrays, where a ViT has one
        self,
        image: Float[AnyArray, "B height width channels"],
        index: Int32[AnyArray, " B"] | None = None,
        *,
        train: bool,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """The reconstructed patches, float32 (B, N, P * P * channels), and which of them were hidden, bool (B, N).

        Args:
          index: the images' places in their split, which decide outside of training what is hidden of each.

        Raises:
          UserError: a share that hides no patch or all, or relative positions.
        """
        if not self.outputs:
            return self.represent(image, train).astype(jnp.float32)
        if self.positions in ("relative", "rotary"):
            raise UserError(
                f"config.model.positions={self.positions} needs all patches, and a masked autoencoder sees a few: take "
                "learned."
            )
        patch, extra = self.size[1], self.extra
        grid = (image.shape[1] // patch, image.shape[2] // patch)
        count = round(self.masked * grid[0] * grid[1])
        if not 0 < count < grid[0] * grid[1]:
            raise UserError(f"config.model.masked={self.masked} hides {count} of {grid[0] * grid[1]} patches.")
        x = self.embed(image, train)
        batch, patches = x.shape[0], grid[0] * grid[1]
        if train:
            order = masking.order(self.make_rng("dropout"), batch, patches)
        else:
            order = jax.vmap(lambda key: masking.order(key, 1, patches)[0])(masking.keys(index, batch))
        seen = order[:, : order.shape[1] - count, None]
        x = jnp.concatenate([x[:, :extra], jnp.take_along_axis(x[:, extra:], seen, axis=1)], axis=1)
        x = self.encode(x, train, None)
        decoder = Decoder(
            self.decoder_width,
            self.decoder_depth,
            self.decoder_heads,
            patch * patch * image.shape[-1],
            jnp.dtype(self.dtype),
            remat=self.remat,
            kernel=self.kernel,
            name="reconstruction",
        )
        return decoder(x, order, extra, grid, train=train), masking.hidden(order, count)


class Decoder(nn.Module):
    """From the encoder's tokens to the pixels of every patch.

    Attributes:
      width, depth, heads: of its blocks.
      pixels: P * P * channels.
      dtype: of the computation.
      positions: of the patches: see AddPositions.
      embedding_bias: whether the layer from the encoder's width to the decoder's has one.
      norm_epsilon: what LayerNorm adds to the variance.
      options: see MultiHeadAttention.
      remat, kernel: see Encoder.
    """

    width: int
    depth: int
    heads: int
    pixels: int
    dtype: jnp.dtype
    positions: Kind = "sinusoid_2d"
    embedding_bias: bool = True
    norm_epsilon: float = 1e-6
    options: Options = PLAIN
    remat: Remat = "none"
    kernel: Kernel = "auto"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B visible D"],
        order: Int32[Array, "B N"],
        extra: int,
        grid: tuple[int, int],
        *,
        train: bool,
    ) -> Float32[Array, "B N pixels"]:
        """The pixels of every patch.

        Args:
          x: the tokens before the patches, and then the first patches of `order`.
          order: see models/masking.py.
          extra: how many tokens are no patches.
          grid: rows and columns of the patches.

        Raises:
          UserError: a width that its positions or heads do not divide.
        """
        if self.width % 4 or self.width % self.heads:
            raise UserError(
                f"config.model.decoder_width={self.width} must divide by 4, for its positions, and by decoder_heads="
                f"{self.heads}."
            )
        x = nn.Dense(self.width, use_bias=self.embedding_bias, dtype=self.dtype, name="embedding")(x)
        mask = self.param("mask", nn.initializers.normal(0.02), (1, 1, self.width)).astype(self.dtype)
        hidden = jnp.tile(mask, (x.shape[0], order.shape[1] + extra - x.shape[1], 1))
        patches = jnp.concatenate([x[:, extra:], hidden], axis=1)
        patches = jnp.take_along_axis(patches, jnp.argsort(order, axis=1)[..., None], axis=1)
        x = AddPositions(self.positions, name="positions")(jnp.concatenate([x[:, :extra], patches], axis=1), grid)
        encoder = Encoder(
            depth=self.depth,
            heads=self.heads,
            mlp_dim=4 * self.width,
            norm_epsilon=self.norm_epsilon,
            options=self.options,
            remat=self.remat,
            kernel=self.kernel,
            dtype=self.dtype,
            name="encoder",
        )
        x = encoder(x, train=train)
        return nn.Dense(self.pixels, dtype=self.dtype, name="pixels")(x[:, extra:]).astype(jnp.float32)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    return vit.debug(section) | {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
