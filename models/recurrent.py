"""One class for a sentence: a recurrence over its tokens, and a linear layer on its last state.

B batch, S tokens, E embedding, H hidden, D = H or 2H, V vocabulary, C classes.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int

from lookup import Depth, Rate, Size
from models.arrays import AnyArray
from models.cells import Cell, RecurrentInit, hidden, read


class Model(nn.Module):
    """Embedding, layers of cells, pooling, one linear layer. Padding must be at the end.

    Initialisation: embeddings N(0, 1/E), input kernels Xavier uniform, biases 0.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      vocabulary: V.
      cell: "rnn" (tanh) | "lstm" | "gru".
      embedding_dim: E.
      hidden_dim: H.
      layers: the number of layers.
      gate_bias: b of the gates σ(· + b): how much they let through, and so how long a cell remembers, before it has
        learned anything. 1 or 2 is usual for an LSTM's forget gate (Gers et al., 2000; Jozefowicz et al., 2015); here
        for all gates.
      recurrent_init: of the recurrent kernels: "orthogonal", whose products keep the length of a gradient
        (1312.6120), or "xavier", uniform.
      bidirectional: whether each layer reads both ways; the backward states end at the first token.
      pooling: "last": the state after the last real token, of each direction | "mean" of the states of all real tokens.
      dropout: on embeddings, between layers and before the last layer.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    vocabulary: Size
    cell: Cell
    embedding_dim: Size = 128
    hidden_dim: Size = 128
    layers: Depth = 1
    gate_bias: float = 0.0
    recurrent_init: RecurrentInit = "orthogonal"
    bidirectional: bool = False
    pooling: Literal["last", "mean"] = "last"
    dropout: Rate = 0.1
    dtype: Literal["float32", "bfloat16"] = "float32"

    @nn.compact
    def __call__(self, tokens: Int[AnyArray, "B S"], *, train: bool) -> Float32[Array, "B C"]:
        """The logits of the sentence.

        Args:
          tokens: 0 where there is nothing.
        """
        dtype, valid = jnp.dtype(self.dtype), tokens != 0
        lengths = valid.sum(axis=1)
        x = nn.Embed(self.vocabulary, self.embedding_dim, dtype=dtype, name="embedding")(tokens)
        for layer in range(self.layers):
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x, last = read(
                self.cell,
                self.hidden_dim,
                dtype,
                x,
                lengths,
                layer=layer,
                bidirectional=self.bidirectional,
                gate_bias=self.gate_bias,
                recurrent_init=self.recurrent_init,
            )
        if self.pooling == "last":
            x = hidden(last)
        else:
            x = jnp.sum(x, axis=1, where=valid[..., None]) / jnp.maximum(lengths, 1)[:, None].astype(dtype)
        self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.outputs, dtype=dtype, name="head")(x).astype(jnp.float32)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"embedding_dim": 16, "hidden_dim": 16}
