"""One class for a sentence: the Transformer's encoder over its tokens, pooled.

B batch, S tokens, D width, V vocabulary, C classes.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from errors import UserError
from models.attention import Kernel, padding_mask
from models.encoder import Activation, Encoder, Norm, Remat
from models.positions import AddTokenPositions


class Model(nn.Module):
    """Embedding, positions, encoder, pooling, one linear layer.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation. vocabulary: V. width, depth, mlp_dim, heads: D, the number of layers, F, H.
      pooling: "mean" of the sentence's tokens | "token": a learned class token before them (1810.04805).
      positions, max_length: see AddTokenPositions. norm, scan, remat: see Encoder.
      dropout: on embeddings, on what each sub-layer adds, and before the last layer.
    """

    outputs: int
    vocabulary: int
    width: int
    depth: int
    mlp_dim: int
    heads: int
    pooling: Literal["mean", "token"] = "mean"
    positions: Literal["sinusoid_1d", "learned"] = "sinusoid_1d"
    max_length: int = 256
    norm: Norm = "pre"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation: Activation = "relu"
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "xla"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @nn.compact
    def __call__(self, tokens: jax.Array, *, train: bool) -> jax.Array:
        """tokens: int (B, S), 0 where there is nothing. Returns float32 logits (B, C)."""
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
        x = AddTokenPositions(self.positions, self.max_length, name="positions")(x, jnp.arange(length)[None], length)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = Encoder(
            depth=self.depth,
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            norm=self.norm,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            activation=self.activation,
            scan=self.scan,
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
            name="encoder",
        )(x, padding_mask(valid), train=train)
        if self.pooling == "token":
            x = x[:, 0]
        else:
            x = jnp.sum(x, axis=1, where=valid[..., None]) / jnp.maximum(valid.sum(1), 1)[:, None].astype(dtype)
        self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.outputs, dtype=dtype, name="head")(x).astype(jnp.float32)
