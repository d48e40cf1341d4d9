"""One Transformer's encoder over patches and words: the two are tokens alike, told apart by an embedding of their type.

B batch, N patches, S words, D width, F MLP, V vocabulary, C classes.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int
from pydantic import PositiveFloat

from lookup import Depth, Rate, Size
from models import variants
from models.arrays import AnyArray
from models.encoder import Activation, Encoder, Remat
from models.kernel_choice import Kernel
from models.masks import padding_mask

NORMAL = nn.initializers.normal(0.02)


class Model(nn.Module):
    """Patches and words with positions and types, a class token, encoder, head.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation, the class token's.
      vocabulary: V.
      width: D.
      depth: layers.
      mlp_dim: F.
      heads: H.
      patch: the side of a patch in pixels.
      reads: what is looked at: "both", or only one, to see what it is worth by itself.
      dropout: after every dense layer but query, key and value, and after the positions.
      stochastic_depth: the probability that a branch of the last layer is dropped.
      activation: of the MLPs.
      norm_epsilon: what LayerNorm adds to the variance.
      remat: what the backward pass computes again: see Encoder.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    vocabulary: Size
    width: Size = 64
    depth: Depth = 4
    mlp_dim: Size = 128
    heads: Size = 4
    patch: Size = 4
    reads: Literal["both", "image", "text"] = "both"
    dropout: Rate = 0.0
    stochastic_depth: Rate = 0.0
    activation: Activation = "gelu"
    norm_epsilon: PositiveFloat = 1e-6
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @nn.compact
    def __call__(
        self, image: Float[AnyArray, "B height width channels"], tokens: Int[AnyArray, "B S"], *, train: bool
    ) -> Float32[Array, "B C"]:
        """The logits of an image with a text.

        Args:
          tokens: 0 where there is nothing.

        Raises:
          UserError: an image that does not divide into patches, or heads that do not divide the width.
        """
        variants.split_by_heads({"width": self.width, "heads": self.heads})
        variants.patch_grid(image, self.patch)
        dtype, batch = jnp.dtype(self.dtype), image.shape[0]
        token = self.param("token", NORMAL, (1, 1, self.width)).astype(dtype)
        parts, valid = [jnp.tile(token, (batch, 1, 1))], [jnp.ones((batch, 1), bool)]
        if self.reads != "text":
            side = (self.patch, self.patch)
            patches = nn.Conv(self.width, side, side, "VALID", dtype=dtype, name="patches")(image.astype(dtype))
            patches = patches.reshape(batch, -1, self.width)
            parts.append(self._placed(patches, "image"))
            valid.append(jnp.ones(patches.shape[:2], bool))
        if self.reads != "image":
            words = nn.Embed(self.vocabulary, self.width, dtype=dtype, embedding_init=NORMAL, name="words")(tokens)
            parts.append(self._placed(words, "text"))
            valid.append(tokens != 0)
        x = nn.Dropout(self.dropout, deterministic=not train)(jnp.concatenate(parts, axis=1))
        x = Encoder(
            depth=self.depth,
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            dropout=self.dropout,
            mlp_dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
            name="encoder",
        )(x, padding_mask(jnp.concatenate(valid, axis=1)), train=train)
        x = x[:, 0]
        self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        head = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, dtype=dtype, name="head")
        return head(x).astype(jnp.float32)

    def _placed(self, x: Float[Array, "B N D"], kind: str) -> Float[Array, "B N D"]:
        """Tokens of one kind with their positions and their type."""
        place = self.param(f"{kind}_positions", NORMAL, (1, *x.shape[1:]))
        return x + (place + self.param(f"{kind}_type", NORMAL, (1, 1, self.width))).astype(x.dtype)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2, "patch": 4}
