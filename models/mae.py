"""Masked autoencoder (2111.06377): the encoder sees a quarter of the patches, a small decoder draws the others.

B batch, N patches, D width, P patch size.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from errors import UserError
from models import masking, vit
from models.encoder import Encoder
from models.positions import sinusoid_2d


class Model(vit.Model):
    """A ViT, all of whose parameters a classifier can begin with (config.init_from), and a decoder, `reconstruction`.

    Attributes:
      outputs: 0 returns the representation of the whole image, as a ViT does. masked: the share of patches that are hidden.
      decoder_width, decoder_depth, decoder_heads: of the decoder; its MLP is four times as wide.
      The others: see models/vit.py.
    """

    masked: float = 0.75
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> Any:
        """image: (B, height, width, channels). Returns the patches as they are drawn, float32 (B, N, P * P * channels),
        and which of them were hidden, bool (B, N). Out of training the same ones always are."""
        if not self.outputs:
            return self.represent(image, train).astype(jnp.float32)
        if self.positions == "relative":
            raise UserError(
                "config.model.positions=relative is for all patches, of which a masked autoencoder sees a few."
            )
        patch, extra = self.size[1], len(vit.TOKENS[self.head])
        grid = (image.shape[1] // patch, image.shape[2] // patch)
        count = round(self.masked * grid[0] * grid[1])
        if not 0 < count < grid[0] * grid[1]:
            raise UserError(f"config.model.masked={self.masked} hides {count} of {grid[0] * grid[1]} patches.")
        x = self.embed(image, train)
        key = self.make_rng("dropout") if train else jax.random.key(0)
        order = masking.order(key, x.shape[0], grid[0] * grid[1])
        seen = order[:, : order.shape[1] - count, None]
        x = jnp.concatenate([x[:, :extra], jnp.take_along_axis(x[:, extra:], seen, axis=1)], axis=1)
        x = self.encode(x, train, None)
        decoder = Decoder(
            self.decoder_width,
            self.decoder_depth,
            self.decoder_heads,
            patch * patch * image.shape[-1],
            jnp.dtype(self.dtype),
            name="reconstruction",
        )
        return decoder(x, order, extra, grid, train=train), masking.hidden(order, count)


class Decoder(nn.Module):
    """From the encoder's tokens to the pixels of every patch.

    Attributes:
      width, depth, heads: of its blocks. pixels: P * P * channels.
    """

    width: int
    depth: int
    heads: int
    pixels: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, order: jax.Array, extra: int, grid: tuple[int, int], *, train: bool) -> jax.Array:
        """x: (B, extra + visible, D), tokens that are no patches and the first patches of `order` (B, N). Returns float32
        (B, N, pixels)."""
        if self.width % 4 or self.width % self.heads:
            raise UserError(
                f"config.model.decoder_width={self.width} must divide by 4, for its positions, and by decoder_heads="
                f"{self.heads}."
            )
        x = nn.Dense(self.width, dtype=self.dtype, name="embedding")(x)
        mask = self.param("mask", nn.initializers.normal(0.02), (1, 1, self.width)).astype(self.dtype)
        hidden = jnp.tile(mask, (x.shape[0], order.shape[1] + extra - x.shape[1], 1))
        patches = jnp.concatenate([x[:, extra:], hidden], axis=1)
        patches = jnp.take_along_axis(patches, jnp.argsort(order, axis=1)[..., None], axis=1)
        patches += jnp.asarray(sinusoid_2d(*grid, self.width)[None], self.dtype)
        x = jnp.concatenate([x[:, :extra], patches], axis=1)
        x = Encoder(depth=self.depth, heads=self.heads, mlp_dim=4 * self.width, dtype=self.dtype, name="encoder")(
            x, train=train
        )
        return nn.Dense(self.pixels, dtype=self.dtype, name="pixels")(x[:, extra:]).astype(jnp.float32)
