"""The Transformer's decoder: blocks of causal self-attention, attention to the source (if there is one) and MLP,
stacked; and the same one token at a time, with the keys and values of the past kept.

B batch, T target tokens, S source tokens, D width, H heads, G heads of keys and values, K beams, P prompt tokens, L the
longest continuation.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PyTree

from models import paths
from models.arrays import AnyArray
from models.attention import PLAIN, XAVIER, Initialisers, MultiHeadAttention, Options
from models.encoder import Activation, Mlp, Norm, NormKind, NormLayer, Remat, constrain, norm_layer, rematerialised
from models.kernel_choice import Kernel
from models.masks import Mask

Cache = dict[str, PyTree]


class DecoderBlock(nn.Module):
    """One layer (1706.03762, section 3.1, figure 1 right).

    Attributes:
      width: D.
      cross: whether the layer attends to a source. Without it this is a layer of a decoder-only model.
      use_bias: whether attention, MLP and LayerNorm have biases.
      initialisers: of attention and MLP.
      options: what later models change in attention. Distances are those of self-attention alone.
      heads, mlp_dim, head_dim, value_dim, norm, norm_kind, norm_epsilon, dropout, attention_dropout, mlp_dropout,
        residual, scale, activation, kernel, dtype: see Block of models/encoder.py.
    """

    width: int
    heads: int
    mlp_dim: int
    head_dim: int | None = None
    value_dim: int | None = None
    cross: bool = True
    norm: Norm = "post"
    norm_kind: NormKind = "layer"
    norm_epsilon: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    residual: bool = True
    scale: bool = True
    activation: Activation = "relu"
    use_bias: bool = True
    initialisers: Initialisers = XAVIER
    options: Options = PLAIN
    kernel: Kernel = "auto"
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        """Names the parts."""
        attention = partial(
            MultiHeadAttention,
            self.width,
            self.heads,
            self.head_dim,
            self.value_dim,
            dropout=self.attention_dropout,
            scale=self.scale,
            use_bias=self.use_bias,
            initialisers=self.initialisers,
            kernel=self.kernel,
            dtype=self.dtype,
        )
        norm = partial(norm_layer, self.norm_kind, self.dtype, epsilon=self.norm_epsilon, use_bias=self.use_bias)
        self.self_attention, self.self_norm = attention(options=self.options), norm()
        if self.cross:
            self.cross_attention = attention(options=replace(self.options, distances="none"))
            self.cross_norm = norm()
        self.mlp = Mlp(self.mlp_dim, self.mlp_dropout, self.activation, self.dtype, self.use_bias, self.initialisers)
        self.mlp_norm = norm()
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        memory: Float[Array, "B S D"] | None,
        self_mask: Mask | Bool[AnyArray, "..."],
        cross_mask: Mask | Bool[AnyArray, "..."] | None,
        train: bool,
        bias: Float[Array, "#B H T T"] | None = None,
        position: Int[AnyArray, "#B #T"] | None = None,
    ) -> Float[Array, "B T D"]:
        """All tokens at once.

        Args:
          memory: the source; None without cross-attention.
          self_mask, cross_mask: which tokens each may look at; arrays are broadcastable to (B, H, T, T) and (B, H, T,
            S), True where it may.
          bias: added to the scores of self-attention.
          position: see MultiHeadAttention.
        """

        def self_attention(y: jax.Array) -> jax.Array:
            return self.self_attention(y, mask=self_mask, bias=bias, position=position, train=train)

        x = self._add(x, self.self_norm, self_attention, train)
        if self.cross:
            x = self._add(x, self.cross_norm, lambda y: self.cross_attention(y, memory, cross_mask, train=train), train)
        x = constrain(self._add(x, self.mlp_norm, lambda y: self.mlp(y, train=train), train))
        self.sow("probe", "output", x)
        return x

    def start(self, memory: Float[Array, "B S D"], rows: int) -> Cache:
        """What decoding keeps of this layer: the source's keys and values, once for all beams, and room for `rows` =
        L·K of the target's, keys (B, G, d, L·K) and values (B, G, L·K, d)."""
        key, value = self.cross_attention.kept(memory)
        return {
            "cross_key": key,
            "cross_value": value,
            "key": jnp.zeros((*key.shape[:3], rows), key.dtype),
            "value": jnp.zeros((*value.shape[:2], rows, value.shape[-1]), value.dtype),
        }

    def prefill(
        self, x: Float[Array, "B P D"], self_mask: Mask | Bool[AnyArray, "..."], rows: int
    ) -> tuple[Float[Array, "B P D"], Cache]:
        """A prompt through the layer, without cross-attention; the keys and values of its tokens, before room for
        `rows` = L·K of its continuation's, as in `start`."""
        cache = {}

        def self_attention(y: jax.Array) -> jax.Array:
            key, value = self.self_attention.keys_values(y)
            cache["key"] = jnp.pad(key.transpose(0, 2, 3, 1), ((0, 0), (0, 0), (0, 0), (0, rows)))
            cache["value"] = jnp.pad(value.swapaxes(1, 2), ((0, 0), (0, 0), (0, rows), (0, 0)))
            return self.self_attention.attend(y, key, value, self_mask)

        x = self._add(x, self.self_norm, self_attention, False)
        return self._add(x, self.mlp_norm, lambda y: self.mlp(y, train=False), False), cache

    def step(
        self,
        x: Float[Array, "B K D"],
        cache: Cache,
        row: Int[Array, ""],
        self_mask: Bool[AnyArray, "..."],
        cross_mask: Bool[AnyArray, "..."] | None,
        bias: Float[Array, "#B H #K R"] | None = None,
        position: Int[AnyArray, "#B #K"] | None = None,
    ) -> tuple[Float[Array, "B K D"], Cache]:
        """The next token of each beam. The beam axis replaces the query axis, so the attention code is reused.

        Args:
          row: where in the cache the keys and values of the K tokens are written.
          self_mask: (B, 1, K, P + L·K), which of all kept tokens are each beam's own.
          cross_mask: (B, 1, 1, S); None without cross-attention.
          bias: added to the scores of self-attention, R = P + L·K.
          position: of the K tokens, where `options` have distances.
        """

        def self_attention(y: jax.Array) -> jax.Array:
            key, value = self.self_attention.kept(y, position)
            cache["key"] = jax.lax.dynamic_update_slice_in_dim(cache["key"], key, row, axis=3)
            cache["value"] = jax.lax.dynamic_update_slice_in_dim(cache["value"], value, row, axis=2)
            return self.self_attention.attend_to_kept(y, cache["key"], cache["value"], self_mask, bias, position)

        cache = dict(cache)
        x = self._add(x, self.self_norm, self_attention, False)
        if cross_mask is not None:
            cross = self.cross_attention.attend_to_kept
            keys_values = cache["cross_key"], cache["cross_value"]
            x = self._add(x, self.cross_norm, lambda y: cross(y, *keys_values, cross_mask), False)
        return self._add(x, self.mlp_norm, lambda y: self.mlp(y, train=False), False), cache

    def _add(self, x: jax.Array, norm: NormLayer, branch: Callable[[jax.Array], jax.Array], train: bool) -> jax.Array:
        y = self.drop(branch(norm(x) if self.norm == "pre" else x), deterministic=not train)
        x = x + y if self.residual else y
        return norm(x) if self.norm == "post" else x


class Decoder(nn.Module):
    """A stack of blocks and, after pre-LN ones, a last LayerNorm.

    Attributes:
      depth: the number of blocks.
      remat: what the backward pass computes again: see Encoder of models/encoder.py.
      width, heads, mlp_dim, head_dim, value_dim, cross, norm, norm_kind, norm_epsilon, dropout, attention_dropout,
        mlp_dropout, residual, scale, activation, use_bias, initialisers, options, kernel, dtype: see DecoderBlock.
    """

    width: int
    depth: int
    heads: int
    mlp_dim: int
    head_dim: int | None = None
    value_dim: int | None = None
    cross: bool = True
    norm: Norm = "post"
    norm_kind: NormKind = "layer"
    norm_epsilon: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    residual: bool = True
    scale: bool = True
    activation: Activation = "relu"
    use_bias: bool = True
    initialisers: Initialisers = XAVIER
    options: Options = PLAIN
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        """Names the parts."""
        block = rematerialised(DecoderBlock, self.remat, static_argnums=(5,))
        self.blocks = [
            block(
                width=self.width,
                heads=self.heads,
                mlp_dim=self.mlp_dim,
                head_dim=self.head_dim,
                value_dim=self.value_dim,
                cross=self.cross,
                norm=self.norm,
                norm_kind=self.norm_kind,
                norm_epsilon=self.norm_epsilon,
                dropout=self.dropout,
                attention_dropout=self.attention_dropout,
                mlp_dropout=self.mlp_dropout,
                residual=self.residual,
                scale=self.scale,
                activation=self.activation,
                use_bias=self.use_bias,
                initialisers=self.initialisers,
                options=self.options,
                kernel=self.kernel,
                dtype=self.dtype,
                name=paths.block(layer),
            )
            for layer in range(self.depth)
        ]
        if self.norm == "pre":
            self.last_norm = norm_layer(self.norm_kind, self.dtype, "norm", self.norm_epsilon, self.use_bias)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        memory: Float[Array, "B S D"] | None,
        self_mask: Mask | Bool[AnyArray, "..."],
        cross_mask: Mask | Bool[AnyArray, "..."] | None,
        bias: Float[Array, "#B H T T"] | None = None,
        position: Int[AnyArray, "#B #T"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B T D"]:
        """All tokens at once, normalised. Arguments as DecoderBlock's."""
        for block in self.blocks:
            x = block(x, memory, self_mask, cross_mask, train, bias, position)
        return self.normalised(x)

    def start(self, memory: Float[Array, "B S D"], rows: int) -> list[Cache]:
        """The cache of each layer: see DecoderBlock."""
        return [block.start(memory, rows) for block in self.blocks]

    def prefill(self, x: Float[Array, "B P D"], self_mask: Mask | Bool[AnyArray, "..."], rows: int) -> list[Cache]:
        """The cache of each layer, filled with a prompt: see DecoderBlock."""
        caches = []
        for block in self.blocks:
            x, cache = block.prefill(x, self_mask, rows)
            caches.append(cache)
        return caches

    def step(
        self,
        x: Float[Array, "B K D"],
        caches: list[Cache],
        row: Int[Array, ""],
        self_mask: Bool[AnyArray, "..."],
        cross_mask: Bool[AnyArray, "..."] | None,
        bias: Float[Array, "#B H #K R"] | None = None,
        position: Int[AnyArray, "#B #K"] | None = None,
    ) -> tuple[Float[Array, "B K D"], list[Cache]]:
        """The next token of each beam, normalised, and the caches with it. Arguments as DecoderBlock's."""
        after = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block.step(x, cache, row, self_mask, cross_mask, bias, position)
            after.append(cache)
        return self.normalised(x), after

    def normalised(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """What the output layer reads of the residual stream, after the last block or any other."""
        return self.last_norm(x) if self.norm == "pre" else x


def follow(
    writer: Int[Array, "B K L"], parents: Int[AnyArray, "B K"], index: Int[Array, ""]
) -> tuple[Int[Array, "B K L"], Bool[Array, "B 1 K LK"]]:
    """Beam search without moving keys and values: they stay where they were written, and masks follow the beams.

    Args:
      writer: for each beam, which beam wrote each of its past tokens.
      parents: the beam of the step before that each beam continues.
      index: how many tokens there are before this one.

    Returns:
      `writer` with this token, and which of the L·K kept tokens are each beam's own.
    """
    batch, beams, length = writer.shape
    writer = jnp.take_along_axis(writer, parents[:, :, None], axis=1)
    own = jnp.broadcast_to(jnp.arange(beams, dtype=writer.dtype)[None, :, None], (batch, beams, 1))
    writer = jax.lax.dynamic_update_slice_in_dim(writer, own, index, axis=2)
    past = (jnp.arange(length) <= index)[:, None]
    mask = (writer[..., None] == jnp.arange(beams)) & past
    return writer, mask.reshape(batch, 1, beams, length * beams)
