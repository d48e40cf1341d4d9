"""The Transformer's encoder: blocks of self-attention and MLP with residual connections, stacked.

B batch, N tokens, D width, F width of the MLP, L layers.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from models import paths
from models.arrays import AnyArray
from models.attention import PLAIN, XAVIER, Initialisers, MultiHeadAttention, Options
from models.kernel_choice import Kernel
from models.masks import Mask

NormLayer = nn.LayerNorm | nn.RMSNorm


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x times the normal distribution's probability of less than x (1606.08415), computed in float32.

    By erf: jax.nn.gelu takes erfc, which costs more and is more exact only where the result is almost 0.
    """
    y = x.astype(jnp.float32)
    return (0.5 * y * (1 + jax.lax.erf(y * 0.5**0.5))).astype(x.dtype)


def gelu_quick(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x times the logistic function of 1.702 x, GELU's second approximation (1606.08415, section 2)."""
    return x * nn.sigmoid(1.702 * x)


ACTIVATIONS = {"gelu": gelu, "gelu_tanh": nn.gelu, "gelu_quick": gelu_quick, "relu": nn.relu, "swish": nn.swish}
GATES = {"geglu": gelu, "geglu_tanh": nn.gelu, "swiglu": nn.swish}
Activation = Literal["gelu", "gelu_tanh", "gelu_quick", "relu", "swish", "geglu", "geglu_tanh", "swiglu"]
Remat = Literal["none", "dots", "full"]
Norm = Literal["pre", "post", "none"]
NormKind = Literal["layer", "rms"]


class Mlp(nn.Module):
    """f(x W1 + b1) W2 + b2, D -> F -> D (1706.03762, equation 2), with dropout between the two layers. Gated, the first
    of them is a product: (f(x Wg + bg) * (x W1 + b1)) W2 + b2 (2002.05202, equation 6).

    Attributes:
      mlp_dim: F.
      dropout: rate.
      activation: f. Those of GATES are gated: "geglu" by GELU, "swiglu" by SiLU.
      use_bias: whether there are b1, bg and b2.
      initialisers: of W1 and Wg (kernel), W2 (residual), b1, bg and b2 (bias).
      dtype: of the computation; parameters are float32.
    """

    mlp_dim: int
    dropout: float = 0.0
    activation: Activation = "gelu"
    dtype: DTypeLike = jnp.float32
    use_bias: bool = True
    initialisers: Initialisers = XAVIER

    @nn.compact
    def __call__(self, x: Float[Array, "B *N D"], *, train: bool) -> Float[Array, "B *N D"]:
        """The same MLP for each of the N tokens, or of the places of a map."""
        dense = partial(nn.Dense, use_bias=self.use_bias, bias_init=self.initialisers.bias, dtype=self.dtype)
        width = x.shape[-1]
        expand = partial(dense, self.mlp_dim, kernel_init=self.initialisers.kernel)
        y = expand(name="expand")(x)
        if self.activation in GATES:
            y = GATES[self.activation](expand(name="gate")(x)) * y
        else:
            y = ACTIVATIONS[self.activation](y)
        x = nn.Dropout(self.dropout, deterministic=not train)(y)
        return dense(width, kernel_init=self.initialisers.residual, name="contract")(x)


def layer_norm(dtype: DTypeLike, name: str | None = None, epsilon: float = 1e-6, use_bias: bool = True) -> nn.LayerNorm:
    """LayerNorm (1607.06450) over the last axis. epsilon: what is added to the variance."""
    return nn.LayerNorm(epsilon=epsilon, use_bias=use_bias, dtype=dtype, name=name)


def norm_layer(
    kind: NormKind, dtype: DTypeLike, name: str | None = None, epsilon: float = 1e-6, use_bias: bool = True
) -> NormLayer:
    """LayerNorm, or RMSNorm (1910.07467), which has no mean and no bias, over the last axis. epsilon: what is added to
    the variance, or to the mean square."""
    if kind == "rms":
        return nn.RMSNorm(epsilon=epsilon, dtype=dtype, name=name)
    return layer_norm(dtype, name, epsilon, use_bias)


class Block(nn.Module):
    """One layer. Pre-LN: x + attention(LN(x)), then x + mlp(LN(x)) (2010.11929, equations 2 and 3). Post-LN:
    LN(x + attention(x)), then LN(x + mlp(x)) (1706.03762, section 3.1).

    Attributes:
      heads: H.
      mlp_dim: F.
      head_dim, value_dim, grid: see MultiHeadAttention.
      norm: "pre" or "post": LayerNorm before each branch, or after each sum; "none" of them.
      norm_kind: "layer", or "rms" for RMSNorm in its place.
      norm_epsilon: see norm_layer.
      dropout: on the output of each branch.
      attention_dropout: on the attention weights.
      mlp_dropout: within the MLP.
      stochastic_depth: whether branches are dropped at all.
      layer_scale: what a learned factor of each of a branch's D outputs begins with (2103.17239, equation 4); 0 for no
        such factors.
      residual: whether a branch is added to x, or takes its place.
      scale: see MultiHeadAttention.
      activation: of the MLP.
      use_bias: whether attention, MLP and LayerNorm have biases.
      initialisers: of attention and MLP.
      options: what later models change in attention.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters are float32.
    """

    heads: int
    mlp_dim: int
    head_dim: int | None = None
    value_dim: int | None = None
    grid: tuple[int, int] | None = None
    norm: Norm = "pre"
    norm_kind: NormKind = "layer"
    norm_epsilon: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    stochastic_depth: bool = False
    layer_scale: float = 0.0
    residual: bool = True
    scale: bool = True
    activation: Activation = "gelu"
    use_bias: bool = True
    initialisers: Initialisers = XAVIER
    options: Options = PLAIN
    kernel: Kernel = "auto"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B N D"],
        drop_rate: Float[Array, ""],
        mask: Mask | Bool[AnyArray, "..."] | None,
        train: bool,
        bias: Float[Array, "#B H N N"] | None = None,
        position: Int[AnyArray, "#B #N"] | None = None,
    ) -> tuple[Float[Array, "B N D"], None]:
        """The layer's output, and nothing (as nn.scan wants it).

        Args:
          drop_rate: the probability that a branch of this layer is dropped.
          mask: which tokens each may look at; arrays are broadcastable to (B, H, N, N), True where it may.
          bias: added to attention's scores.
          position: see MultiHeadAttention.
        """

        def add(x: jax.Array, norm: NormLayer, branch: Callable[[jax.Array], jax.Array], scale: str) -> jax.Array:
            y = branch(norm(x) if self.norm == "pre" else x)
            if self.layer_scale:
                y *= self.param(scale, nn.initializers.constant(self.layer_scale), x.shape[-1:]).astype(y.dtype)
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
            if train and self.stochastic_depth:
                kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - drop_rate, (x.shape[0], 1, 1))
                y = jnp.where(kept, y / (1 - drop_rate).astype(y.dtype), 0)
            x = x + y if self.residual else y
            return norm(x) if self.norm == "post" else x

        attention = MultiHeadAttention(
            x.shape[-1],
            self.heads,
            self.head_dim,
            self.value_dim,
            dropout=self.attention_dropout,
            grid=self.grid,
            scale=self.scale,
            use_bias=self.use_bias,
            initialisers=self.initialisers,
            options=self.options,
            kernel=self.kernel,
            dtype=self.dtype,
            name="attention",
        )
        mlp = Mlp(
            *(self.mlp_dim, self.mlp_dropout, self.activation, self.dtype, self.use_bias, self.initialisers),
            name="mlp",
        )
        norm = partial(norm_layer, self.norm_kind, self.dtype, epsilon=self.norm_epsilon, use_bias=self.use_bias)

        def attend(y: jax.Array) -> jax.Array:
            return attention(y, mask=mask, bias=bias, position=position, train=train)

        x = add(x, norm("attention_norm"), attend, "attention_scale")
        x = add(x, norm("mlp_norm"), lambda y: mlp(y, train=train), "mlp_scale")
        x = constrain(x)
        self.sow("probe", "output", x)
        return x, None


class Encoder(nn.Module):
    """L blocks and, after pre-LN ones, a last LayerNorm.

    Attributes:
      depth: L.
      scan: compile one block and loop over the layers (parameters stacked under `blocks`, first axis L) instead of
        writing the layers out (`block_00` ...). Faster to compile; on a CPU slower to run.
      remat: what the backward pass computes again: none | dots (all but matrix products) | full (all but block inputs).
      stochastic_depth: the probability that a branch of the last layer is dropped. It falls linearly to 0 at the first
        (1603.09382).
      last_norm: whether pre-LN blocks are followed by a LayerNorm at all.
      heads, mlp_dim, head_dim, value_dim, grid, norm, norm_kind, norm_epsilon, dropout, attention_dropout, mlp_dropout,
        layer_scale, residual, scale, activation, use_bias, initialisers, options, kernel, dtype: see Block.
    """

    depth: int
    heads: int
    mlp_dim: int
    head_dim: int | None = None
    value_dim: int | None = None
    grid: tuple[int, int] | None = None
    norm: Norm = "pre"
    norm_kind: NormKind = "layer"
    norm_epsilon: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    stochastic_depth: float = 0.0
    layer_scale: float = 0.0
    last_norm: bool = True
    residual: bool = True
    scale: bool = True
    activation: Activation = "gelu"
    use_bias: bool = True
    initialisers: Initialisers = XAVIER
    options: Options = PLAIN
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B N D"],
        mask: Mask | Bool[AnyArray, "..."] | None = None,
        bias: Float[Array, "#B H N N"] | None = None,
        position: Int[AnyArray, "#B #N"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B N D"]:
        """All layers, normalised.

        Args:
          mask: which tokens each may look at; arrays are broadcastable to (B, H, N, N), True where it may.
          bias: added to the scores of every layer's attention.
          position: see MultiHeadAttention.
        """
        rates = np.linspace(self.stochastic_depth, 0, self.depth, dtype=np.float32)[::-1]
        block = rematerialised(Block, self.remat, prevent_cse=not self.scan, static_argnums=(4,))
        arguments = dict(
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
            grid=self.grid,
            norm=self.norm,
            norm_kind=self.norm_kind,
            norm_epsilon=self.norm_epsilon,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            mlp_dropout=self.mlp_dropout,
            stochastic_depth=self.stochastic_depth > 0,
            layer_scale=self.layer_scale,
            residual=self.residual,
            scale=self.scale,
            activation=self.activation,
            use_bias=self.use_bias,
            initialisers=self.initialisers,
            options=self.options,
            kernel=self.kernel,
            dtype=self.dtype,
        )
        if self.scan:
            layers = nn.scan(
                block,
                variable_axes={"params": 0, "probe": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast, nn.broadcast),
                length=self.depth,
            )
            x, _ = layers(**arguments, name=paths.STACKED)(x, jnp.asarray(rates), mask, train, bias, position)
        else:
            for layer, rate in enumerate(rates):
                one = block(**arguments, name=paths.block(layer))
                x, _ = one(x, jnp.asarray(rate), mask, train, bias, position)
        if self.norm != "pre" or not self.last_norm:
            return x
        return norm_layer(self.norm_kind, self.dtype, "norm", self.norm_epsilon, self.use_bias)(x)


def constrain(x: Float[Array, "B ... D"]) -> Float[Array, "B ... D"]:
    """The output of a block, split over devices like the batch.

    Left to itself, the compiler may keep activations whole where parameters are split, which takes several times the
    memory. Nothing is done without a mesh (`jax.set_mesh`) and a rule for "batch" (`nn.logical_axis_rules`), or where
    the batch does not divide by the devices.
    """
    mesh, axes = jax.sharding.get_abstract_mesh(), dict(nn.get_logical_axis_rules()).get("batch")
    if mesh.empty or not axes or x.ndim < 3:
        return x
    devices = math.prod(mesh.shape[axis] for axis in ((axes,) if isinstance(axes, str) else axes))
    return x if x.shape[0] % devices else nn.with_logical_constraint(x, ("batch", *(None,) * (x.ndim - 1)))


def rematerialised(
    block: type[nn.Module], remat: Remat, static_argnums: tuple[int, ...], prevent_cse: bool = True
) -> type[nn.Module]:
    """The block, or the same block whose backward pass computes again what `remat` says.

    Args:
      static_argnums: arguments of its `__call__` that are not arrays; self is 0.
      prevent_cse: needed outside of a scan.
    """
    if remat == "none":
        return block
    policy = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if remat == "dots" else None
    return nn.remat(block, policy=policy, prevent_cse=prevent_cse, static_argnums=static_argnums)
