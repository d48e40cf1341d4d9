"""One class for a sentence: the Transformer's encoder over its tokens, pooled.

B batch, S tokens, D width, F MLP, H heads, V vocabulary, C classes.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int

from errors import UserError
from lookup import Depth, Rate, Size
from models.arrays import AnyArray
from models.attention import Options
from models.encoder import Activation, Encoder, Norm, Remat
from models.kernel_choice import Kernel
from models.masks import padding_mask
from models.positions import AddTokenPositions, TokenKind


class Model(nn.Module):
    """Embedding, positions, encoder, pooling, one linear layer.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      vocabulary: V.
      width: D.
      depth: the number of layers.
      mlp_dim: F.
      heads: H.
      pooling: "mean" of the sentence's tokens | "token": a learned class token before them (1810.04805) | "last": the
        sentence's last token, its end (as decoder-only models are read).
      positions: see AddTokenPositions of models/positions.py; or "rotary": see Options of models/attention.py.
      max_length: the number of learned positions, the class token's included; sinusoids have no end.
      norm: "pre", "post" or "none": see Block of models/encoder.py.
      dropout: on embeddings, on the output of each sub-layer, and before the last layer.
      attention_dropout: on the attention weights.
      activation: of the MLPs.
      scan: whether to compile one block and loop over the layers: see Encoder of models/encoder.py.
      remat: what the backward pass computes again: see Encoder.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    vocabulary: Size
    width: Size = 128
    depth: Depth = 2
    mlp_dim: Size = 256
    heads: Size = 4
    pooling: Literal["mean", "token", "last"] = "mean"
    positions: TokenKind | Literal["rotary"] = "sinusoid_1d"
    max_length: Size = 256
    norm: Norm = "pre"
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.0
    activation: Activation = "relu"
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @nn.compact
    def __call__(self, tokens: Int[AnyArray, "B S"], *, train: bool) -> Float32[Array, "B C"]:
        """The logits of the sentence.

        Args:
          tokens: 0 where there is nothing.

        Raises:
          UserError: an odd width, or one that does not divide by the heads.
        """
        if self.width % self.heads or self.width % 2:
            raise UserError(f"config.model.width={self.width} must be even and divide by heads={self.heads}.")
        dtype, valid = jnp.dtype(self.dtype), tokens != 0
        embedding = nn.Embed(
            self.vocabulary, self.width, embedding_init=nn.initializers.normal(self.width**-0.5), dtype=dtype
        )
        x = embedding(tokens) * self.width**0.5
        if self.pooling == "token":
            token = self.param("token", nn.initializers.normal(1.0), (1, 1, self.width)).astype(dtype)
            x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
            valid = jnp.pad(valid, ((0, 0), (1, 0)), constant_values=True)
        length = x.shape[1]
        added: TokenKind = "none" if self.positions == "rotary" else self.positions
        x = AddTokenPositions(added, self.max_length, name="positions")(x, jnp.arange(length)[None], length)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = Encoder(
            depth=self.depth,
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            norm=self.norm,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            activation=self.activation,
            options=Options(distances="rotary" if self.positions == "rotary" else "none"),
            scan=self.scan,
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
            name="encoder",
        )(x, padding_mask(valid), train=train)
        if self.pooling == "token":
            x = x[:, 0]
        elif self.pooling == "last":
            x = jnp.take_along_axis(x, jnp.maximum(valid.sum(1) - 1, 0)[:, None, None], axis=1)[:, 0]
        else:
            x = jnp.sum(x, axis=1, where=valid[..., None]) / jnp.maximum(valid.sum(1), 1)[:, None].astype(dtype)
        self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.outputs, dtype=dtype, name="head")(x).astype(jnp.float32)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2}
