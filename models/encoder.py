"""The Transformer's encoder: blocks of self-attention and MLP with residual connections, stacked.

B batch, N tokens, D width, F width of the MLP, L layers.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from errors import UserError
from models.attention import Kernel, MultiHeadAttention

ACTIVATIONS = {"gelu": lambda x: nn.gelu(x, approximate=False), "gelu_tanh": nn.gelu, "relu": nn.relu}
Activation = Literal["gelu", "gelu_tanh", "relu"]
Remat = Literal["none", "dots", "full"]


class Mlp(nn.Module):
    """D -> F -> D with dropout after each dense layer."""

    mlp_dim: int
    dropout: float = 0.0
    activation: Activation = "gelu"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, N, D) -> (B, N, D)."""

        def dense(features: int, name: str) -> nn.Dense:
            bias = nn.initializers.normal(1e-6)
            return nn.Dense(
                features, kernel_init=nn.initializers.xavier_uniform(), bias_init=bias, dtype=self.dtype, name=name
            )

        width = x.shape[-1]
        x = ACTIVATIONS[self.activation](dense(self.mlp_dim, "expand")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = dense(width, "contract")(x)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class Block(nn.Module):
    """One pre-LN layer: x + attention(LN(x)), then x + mlp(LN(x)) (2010.11929, equations 2 and 3).

    Attributes:
      heads, mlp_dim: H and F. dropout: after every dense layer but query, key and value.
      attention_dropout: on the attention weights. stochastic_depth: whether branches are dropped at all.
    """

    heads: int
    mlp_dim: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: bool = False
    activation: Activation = "gelu"
    kernel: Kernel = "xla"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, drop_rate: jax.Array, train: bool) -> tuple[jax.Array, None]:
        """x: (B, N, D); drop_rate: float32 scalar, this layer's chance to lose a branch. Returns ((B, N, D), nothing)."""

        def norm(name: str) -> nn.LayerNorm:
            return nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name=name)

        def residual(x: jax.Array, branch: jax.Array) -> jax.Array:
            if not (train and self.stochastic_depth):
                return x + branch
            kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - drop_rate, (x.shape[0], 1, 1))
            return x + jnp.where(kept, branch / (1 - drop_rate).astype(branch.dtype), 0)

        y = MultiHeadAttention(
            self.heads, dropout=self.attention_dropout, kernel=self.kernel, dtype=self.dtype, name="attention"
        )(norm("attention_norm")(x), train=train)
        x = residual(x, nn.Dropout(self.dropout, deterministic=not train)(y))
        y = Mlp(self.mlp_dim, self.dropout, self.activation, self.dtype, name="mlp")(norm("mlp_norm")(x), train=train)
        x = residual(x, y)
        self.sow("probe", "output", x)
        return x, None


class Encoder(nn.Module):
    """L blocks and a last LayerNorm.

    Attributes:
      scan: compile one block and loop over the layers (parameters stacked under `blocks`, first axis L) instead of
        writing the layers out (`block_00` ...). Faster to compile; on a CPU slower to run.
      remat: what the backward pass computes again: none | dots (all but matrix products) | full (all but block inputs).
      stochastic_depth: chance to drop a branch of the last layer; earlier layers less, linearly, the first none (1603.09382).
    """

    depth: int
    heads: int
    mlp_dim: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    activation: Activation = "gelu"
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "xla"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, N, D) -> (B, N, D), normalised."""
        if not 0 <= self.stochastic_depth < 1:
            raise UserError(
                f"config.model.stochastic_depth={self.stochastic_depth} must be at least 0 and less than 1."
            )
        rates = np.linspace(self.stochastic_depth, 0, self.depth, dtype=np.float32)[::-1]
        block: type[nn.Module] = Block
        if self.remat != "none":
            policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if self.remat == "dots" else None
            block = nn.remat(block, policy=policy, prevent_cse=not self.scan, static_argnums=(3,))
        arguments = dict(
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            stochastic_depth=self.stochastic_depth > 0,
            activation=self.activation,
            kernel=self.kernel,
            dtype=self.dtype,
        )
        if self.scan:
            layers = nn.scan(
                block,
                variable_axes={"params": 0, "probe": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=(0, nn.broadcast),
                length=self.depth,
            )
            x, _ = layers(**arguments, name="blocks")(x, jnp.asarray(rates), train)
        else:
            for layer, rate in enumerate(rates):
                x, _ = block(**arguments, name=f"block_{layer:02}")(x, jnp.asarray(rate), train)
        return nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(x)
