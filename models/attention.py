"""Multi-head attention (1706.03762, section 3.2.2). Equation 1 is in models/kernels.py, masks in models/masks.py.

B batch, T queries, S keys, D width, H heads, K head size of queries and keys, V head size of values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from errors import UserError
from models.arrays import AnyArray
from models.kernel_choice import Kernel
from models.kernels import Dropout, attention, attention_weights, dropped, weighted_values
from models.masks import Mask, as_mask
from models.positions import RelativePositions


@dataclass(frozen=True)
class Initialisers:
    """How the matrices of a Transformer block are drawn.

    Attributes:
      kernel: of the layers at the beginning of a branch: query, key, value, the first layer of the MLP.
      residual: of the layers whose output is added to the residual stream: attention's output, the second of the MLP.
      bias: of the two layers of the MLP. Biases of attention begin at 0.
      query: of the query alone; None for as `kernel`.
    """

    kernel: Initializer
    residual: Initializer
    bias: Initializer
    query: Initializer | None = None


XAVIER = Initialisers(nn.initializers.xavier_uniform(), nn.initializers.xavier_uniform(), nn.initializers.normal(1e-6))


class Heads(nn.Module):
    """A linear layer to the heads, D -> (H, K).

    Attributes:
      heads: H.
      size: K.
      use_bias: whether there is one, which begins at 0.
      kernel_init: of the matrix, as one of (D, H K).
      dtype: of the computation; parameters are float32.
    """

    heads: int
    size: int
    use_bias: bool
    kernel_init: Initializer
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def parameters(self, width: int) -> tuple[Float[Array, "D H K"], Float[Array, "H K"] | None]:
        """The matrix and the bias, in the computation's dtype."""
        shape = (width, self.heads, self.size)

        def kernel_init(key: jax.Array) -> jax.Array:
            return self.kernel_init(key, (width, self.heads * self.size), jnp.float32).reshape(shape)

        kernel = self.param("kernel", kernel_init).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, shape[1:]).astype(self.dtype) if self.use_bias else None
        return kernel, bias

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T H K"]:
        """x for each head."""
        kernel, bias = self.parameters(x.shape[-1])
        x = jnp.einsum("btd,dhk->bthk", x.astype(self.dtype), kernel)
        return x if bias is None else x + bias


def together(x: Float[Array, "B T D"], layers: Sequence[Heads]) -> list[Float[Array, "B T H K"]]:
    """What each layer makes of x, by one matrix product, which is quicker than one for each.

    The matrices are joined along K: split over devices by their heads, each device joins its own. Those that are
    prepared (models/prepared.py) multiply by themselves.
    """
    if layers[0].is_mutable_collection("prepared") or layers[0].has_variable("prepared", "matrix"):
        return [layer(x) for layer in layers]
    kernels, biases = zip(*(layer.parameters(x.shape[-1]) for layer in layers), strict=True)
    sizes = [kernel.shape[-1] for kernel in kernels]
    x = jnp.einsum("btd,dhk->bthk", x.astype(kernels[0].dtype), jnp.concatenate(kernels, axis=-1))
    parts = jnp.split(x, np.cumsum(sizes)[:-1], axis=-1)
    # Added to each part: a TPU then sums a bias's gradient in the loop that makes it.
    return [part if bias is None else part + bias for part, bias in zip(parts, biases, strict=True)]


class MultiHeadAttention(nn.Module):
    """MultiHead(Q, K, V) = Concat(head_1 ... head_H) W^O (section 3.2.2).

    Attributes:
      width: D.
      heads: H.
      head_dim: K, the paper's d_k; D / H when None.
      value_dim: V, the paper's d_v; as head_dim when None.
      dropout: rate on the attention weights.
      scale: whether scores are divided by sqrt(K).
      grid: rows and columns of the patches, for relative position bias (see RelativePositions); None without.
      use_bias: whether the four projections have one (ViT: yes; T5: no).
      initialisers: of the four projections.
      kernel: see `attention` of models/kernels.py. Where a probe asks for the weights, it is plain.
      dtype: of the computation; parameters are float32.
    """

    width: int
    heads: int
    head_dim: int | None = None
    value_dim: int | None = None
    dropout: float = 0.0
    scale: bool = True
    grid: tuple[int, int] | None = None
    use_bias: bool = True
    initialisers: Initialisers = XAVIER
    kernel: Kernel = "auto"
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        """Names the parts."""
        if self.head_dim is None and self.width % self.heads:
            raise UserError(f"a width of {self.width} does not divide by {self.heads} heads.")
        head_dim = self.head_dim or self.width // self.heads
        kernel, residual = self.initialisers.kernel, self.initialisers.residual
        heads = partial(Heads, self.heads, use_bias=self.use_bias, kernel_init=kernel, dtype=self.dtype)
        self.query = heads(head_dim, kernel_init=self.initialisers.query or kernel)
        self.key, self.value = heads(head_dim), heads(self.value_dim or head_dim)
        self.out = nn.DenseGeneral(
            self.width, axis=(-2, -1), use_bias=self.use_bias, kernel_init=residual, dtype=self.dtype
        )
        self.drop = nn.Dropout(self.dropout)
        if self.grid:
            self.relative = RelativePositions(self.grid)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        memory: Float[Array, "B S E"] | None = None,
        mask: Mask | Bool[AnyArray, "..."] | None = None,
        bias: Float[Array, "#B H T S"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B T D"]:
        """Self-attention of x, or cross-attention from x (queries) to memory (keys and values).

        Args:
          mask: which keys each query may look at; arrays are broadcastable to (B, H, T, S).
          bias: added to the scores, where `grid` is None.
        """
        if memory is None:
            query, key, value = together(x, [self.query, self.key, self.value])
        else:
            query, (key, value) = self.query(x), self.keys_values(memory)
        return self._attend(query, key, value, mask, bias, train)

    def keys_values(self, memory: Float[Array, "B S D"]) -> tuple[Float[Array, "B S H K"], Float[Array, "B S H V"]]:
        """The keys and values of the memory."""
        key, value = together(memory, [self.key, self.value])
        return key, value

    def kept(self, memory: Float[Array, "B S D"]) -> tuple[Float[Array, "B H K S"], Float[Array, "B H S V"]]:
        """The same in the order in which decoding keeps them, so that no step has to transpose them."""
        return self.key(memory).transpose(0, 2, 3, 1), self.value(memory).swapaxes(1, 2)

    def attend_to_kept(
        self,
        x: Float[Array, "B T D"],
        key: Float[Array, "B H K S"],
        value: Float[Array, "B H S V"],
        mask: Bool[AnyArray, "..."],
        bias: Float[Array, "#B H T S"] | None = None,
    ) -> Float[Array, "B T D"]:
        """`attend`, not in training, to keys and values of `kept`."""
        query = self._scaled(self.query(x)).swapaxes(1, 2) * key.shape[2] ** -0.5
        scores = jnp.einsum("bhtk,bhks->bhts", query, key, preferred_element_type=jnp.float32)
        scores = scores if bias is None else scores + bias
        weights = jax.nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min))
        weights = jnp.where(mask, weights, 0.0).astype(value.dtype)
        return self.out(jnp.einsum("bhts,bhsk->bhtk", weights, value).swapaxes(1, 2))

    def attend(
        self,
        x: Float[Array, "B T D"],
        key: Float[Array, "B S H K"],
        value: Float[Array, "B S H V"],
        mask: Mask | Bool[AnyArray, "..."] | None = None,
        bias: Float[Array, "#B H T S"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B T D"]:
        """Queries of x attend to these keys and values."""
        return self._attend(self.query(x), key, value, mask, bias, train)

    def _scaled(self, query: jax.Array) -> jax.Array:
        """Queries whose scores come out as `scale` says: all ways of computing attention divide by sqrt(K)."""
        return query if self.scale else query * query.shape[-1] ** 0.5

    def _attend(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        mask: Mask | AnyArray | None,
        bias: jax.Array | None,
        train: bool,
    ) -> jax.Array:
        query = self._scaled(query)
        bias = self.relative(query) if self.grid else bias
        # The key that nn.Dropout would draw here.
        dropout = Dropout(self.dropout, self.drop.make_rng("dropout")) if self.dropout and train else None
        if self.is_mutable_collection("probe"):
            weights = attention_weights(query, key, as_mask(mask).array(query.shape[1], key.shape[1]), bias)
            self.sow("probe", "attention", weights)
            return self.out(weighted_values(dropped(weights, dropout), value))
        return self.out(attention(query, key, value, mask, bias, dropout, self.kernel))
