"""Multi-head attention (1706.03762, section 3.2.2). Equation 1 is in models/kernels.py, masks in models/masks.py.

B batch, T queries, S keys, D width, H heads, G heads of keys and values (as many, where `Options` say nothing else), K
head size of queries and keys, V head size of values.
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
from jaxtyping import Array, Bool, Float, Int

from errors import UserError
from models.arrays import AnyArray
from models.distances import Distances, alibi_key, alibi_query, rotated, rotated_on_grid
from models.kernel_choice import Kernel
from models.kernels import Dropout, attention, attention_weights, capped, dropped, weighted_values
from models.masks import Mask, as_mask
from models.positions import RelativePositions


@dataclass(frozen=True)
class Initialisers:
    """How the matrices of a Transformer block are drawn.

    Attributes:
      kernel: of the layers at the beginning of a branch: query, key, value, the first layer of the MLP.
      residual: of the layers whose output is added to the residual stream: attention's output, the second of the MLP.
      bias: of the two layers of the MLP. Biases of attention begin at 0.
      query: of the query's layer; None for as `kernel`.
    """

    kernel: Initializer
    residual: Initializer
    bias: Initializer
    query: Initializer | None = None


XAVIER = Initialisers(nn.initializers.xavier_uniform(), nn.initializers.xavier_uniform(), nn.initializers.normal(1e-6))


@dataclass(frozen=True)
class Options:
    """What later models change in attention. By default nothing.

    Attributes:
      kv_heads: G, heads of keys and values; each serves H / G heads of queries (grouped-query attention,
        2305.13245; with 1 multi-query attention, 1911.02150). Decoding keeps G heads. H when None.
      distances: positions that queries and keys are given: "rotary" (2104.09864); "alibi" (2108.12409), where a token
        sees only those before it; "axial", those of patches in a grid (2508.10104).
      rotary_base: of rotary positions' frequencies.
      qk_norm: whether queries and keys are divided by their root mean square, each head by itself, and multiplied by a
        learned scale (K,): scores then keep their size (2302.05442, section 2, with RMSNorm for LayerNorm).
      cap: c of c tanh(scores / c), by which no score exceeds c (Gemma 2, 2408.00118, section 2); 0 for none.
      key_bias: whether keys have a bias where the other projections have one. It adds the same to all scores of a
        query, and so changes no weight (BEiT, 2106.08254, and VideoMAE leave it out).
    """

    kv_heads: int | None = None
    distances: Distances = "none"
    rotary_base: float = 10_000.0
    qk_norm: bool = False
    cap: float = 0.0
    key_bias: bool = True


PLAIN = Options()


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

    The matrices are joined along K: split over devices by their heads, each device joins its own. Where one has fewer
    heads, the heads of the others that share one of its are taken as one. Those that are prepared (models/prepared.py)
    multiply by themselves.
    """
    if layers[0].is_mutable_collection("prepared") or layers[0].has_variable("prepared", "matrix"):
        return [layer(x) for layer in layers]
    kernels, biases = zip(*(layer.parameters(x.shape[-1]) for layer in layers), strict=True)
    groups = min(layer.heads for layer in layers)
    kernels = tuple(kernel.reshape(len(kernel), groups, -1) for kernel in kernels)
    sizes = [kernel.shape[-1] for kernel in kernels]
    x = jnp.einsum("btd,dhk->bthk", x.astype(kernels[0].dtype), jnp.concatenate(kernels, axis=-1))
    parts = [
        part.reshape(*x.shape[:2], layer.heads, layer.size)
        for layer, part in zip(layers, jnp.split(x, np.cumsum(sizes)[:-1], axis=-1), strict=True)
    ]
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
      grid: rows and columns of the patches, for relative position bias (see RelativePositions) or, where `options` say
        so, axial positions; None without.
      use_bias: whether the four projections have one (ViT: yes; T5: no).
      initialisers: of the four projections.
      options: what later models change.
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
    options: Options = PLAIN
    kernel: Kernel = "auto"
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        """Names the parts."""
        if self.head_dim is None and self.width % self.heads:
            raise UserError(f"a width of {self.width} does not divide by {self.heads} heads.")
        head_dim, options = self.head_dim or self.width // self.heads, self.options
        groups = options.kv_heads or self.heads
        if self.heads % groups:
            raise UserError(f"config.model.kv_heads={groups} does not divide {self.heads} heads: choose a divisor.")
        if options.distances == "rotary" and head_dim % 2:
            raise UserError(f"rotary positions turn pairs, and heads have an odd size, {head_dim}: make it even.")
        if options.distances == "axial" and head_dim % 4:
            raise UserError(f"axial positions turn pairs by row and by column: heads of {head_dim} must divide by 4.")
        if options.distances == "alibi" and options.cap:
            raise UserError("a soft cap of scores would cap ALiBi's distances too: take rotary positions, or no cap.")
        kernel, residual = self.initialisers.kernel, self.initialisers.residual
        heads = partial(Heads, use_bias=self.use_bias, kernel_init=kernel, dtype=self.dtype)
        self.query = heads(self.heads, head_dim, kernel_init=self.initialisers.query or kernel)
        self.key = heads(groups, head_dim, use_bias=self.use_bias and options.key_bias)
        self.value = heads(groups, self.value_dim or head_dim)
        if options.qk_norm:
            self.query_norm, self.key_norm = nn.RMSNorm(dtype=self.dtype), nn.RMSNorm(dtype=self.dtype)
        self.out = nn.DenseGeneral(
            self.width, axis=(-2, -1), use_bias=self.use_bias, kernel_init=residual, dtype=self.dtype
        )
        self.drop = nn.Dropout(self.dropout)
        if self._biased:
            assert self.grid
            self.relative = RelativePositions(self.grid)

    @property
    def _biased(self) -> bool:
        """Whether scores have the bias of relative positions."""
        return self.grid is not None and self.options.distances != "axial"

    def __call__(
        self,
        x: Float[Array, "B T D"],
        memory: Float[Array, "B S E"] | None = None,
        mask: Mask | Bool[AnyArray, "..."] | None = None,
        bias: Float[Array, "#B H T S"] | None = None,
        position: Int[AnyArray, "#B #T"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B T D"]:
        """Self-attention of x, or cross-attention from x (queries) to memory (keys and values).

        Args:
          mask: which keys each query may look at; arrays are broadcastable to (B, H, T, S).
          bias: added to the scores, where `grid` is None.
          position: of each token, where `options` have distances; 0, 1, ... when None.
        """
        if memory is None:
            query, key, value = together(x, [self.query, self.key, self.value])
            key = self._ready_key(key, position)
        else:
            query, (key, value) = self.query(x), self.keys_values(memory)
        return self._attend(self._ready_query(query, position), key, value, mask, bias, train)

    def keys_values(self, memory: Float[Array, "B S D"]) -> tuple[Float[Array, "B S G K"], Float[Array, "B S G V"]]:
        """The keys and values of the memory, whose tokens are at 0, 1, ..."""
        key, value = together(memory, [self.key, self.value])
        return self._ready_key(key, None), value

    def kept(
        self, memory: Float[Array, "B S D"], position: Int[AnyArray, "#B #S"] | None = None
    ) -> tuple[Float[Array, "B G K S"], Float[Array, "B G S V"]]:
        """The same in the order in which decoding keeps them, so that no step has to transpose them."""
        key = self._ready_key(self.key(memory), position)
        return key.transpose(0, 2, 3, 1), self.value(memory).swapaxes(1, 2)

    def attend_to_kept(
        self,
        x: Float[Array, "B T D"],
        key: Float[Array, "B G K S"],
        value: Float[Array, "B G S V"],
        mask: Bool[AnyArray, "..."],
        bias: Float[Array, "#B H T S"] | None = None,
        position: Int[AnyArray, "#B #T"] | None = None,
    ) -> Float[Array, "B T D"]:
        """The same to keys and values of `kept`."""
        query = self._ready_query(self.query(x), position).swapaxes(1, 2) * key.shape[2] ** -0.5
        batch, heads, tokens, _ = query.shape
        # The queries of all heads that share a key, one after the other.
        query = query.reshape(batch, key.shape[1], -1, key.shape[2])
        scores = jnp.einsum("bgtk,bgks->bgts", query, key, preferred_element_type=jnp.float32)
        scores = capped(scores.reshape(batch, heads, tokens, -1), self.options.cap)
        scores = scores if bias is None else scores + bias
        weights = jax.nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min))
        weights = jnp.where(mask, weights, 0.0).astype(value.dtype).reshape(*query.shape[:3], -1)
        out = jnp.einsum("bgts,bgsk->bgtk", weights, value)
        return self.out(out.reshape(batch, heads, tokens, -1).swapaxes(1, 2))

    def attend(
        self,
        x: Float[Array, "B T D"],
        key: Float[Array, "B S G K"],
        value: Float[Array, "B S G V"],
        mask: Mask | Bool[AnyArray, "..."],
    ) -> Float[Array, "B T D"]:
        """Queries of x, at 0, 1, ..., attend to keys and values of `keys_values`; not in training."""
        return self._attend(self._ready_query(self.query(x), None), key, value, mask, None, train=False)

    def _ready_query(self, query: jax.Array, position: AnyArray | None) -> jax.Array:
        """Queries as `options` and `scale` have them: all ways of computing attention divide by sqrt(K)."""
        if self.options.qk_norm:
            query = self.query_norm(query)
        query = query if self.scale else query * query.shape[-1] ** 0.5
        match self.options.distances:
            case "rotary":
                return rotated(query, _positions(query, position), self.options.rotary_base)
            case "axial":
                return self._on_grid(query)
            case "alibi":
                return alibi_query(query)
            case "none":
                return query

    def _on_grid(self, x: jax.Array) -> jax.Array:
        """Queries or keys with axial positions."""
        if self.grid is None:
            raise UserError("axial positions (config.model.positions=rotary) need all patches of an image.")
        return rotated_on_grid(x, self.grid, self.options.rotary_base)

    def _ready_key(self, key: jax.Array, position: AnyArray | None) -> jax.Array:
        """Keys as `options` have them."""
        if self.options.qk_norm:
            key = self.key_norm(key)
        match self.options.distances:
            case "rotary":
                return rotated(key, _positions(key, position), self.options.rotary_base)
            case "axial":
                return self._on_grid(key)
            case "alibi":
                return alibi_key(key, _positions(key, position))
            case "none":
                return key

    def _attend(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array,
        mask: Mask | AnyArray | None,
        bias: jax.Array | None,
        train: bool,
    ) -> jax.Array:
        bias = self.relative(query) if self._biased else bias
        if key.shape[2] < self.heads:
            key, value = (jnp.repeat(x, self.heads // x.shape[2], axis=2) for x in (key, value))
        # The key that nn.Dropout would draw here.
        dropout = Dropout(self.dropout, self.drop.make_rng("dropout")) if self.dropout and train else None
        if self.is_mutable_collection("probe"):
            visible = as_mask(mask).array(query.shape[1], key.shape[1])
            weights = attention_weights(query, key, visible, bias, self.options.cap)
            self.sow("probe", "attention", weights)
            return self.out(weighted_values(dropped(weights, dropout), value))
        return self.out(attention(query, key, value, mask, bias, dropout, self.options.cap, self.kernel))


def _positions(x: jax.Array, position: AnyArray | None) -> AnyArray:
    """The positions of x (B, N, ...): those that are given, or 0, 1, ..."""
    return jnp.arange(x.shape[1])[None] if position is None else position
