"""The Transformer's decoder: blocks of causal self-attention, attention to the source and MLP, stacked; and the same,
one token at a time, with the keys and values of the past kept.

B batch, T target tokens, S source tokens, D width, H heads, K beams, L the longest target that is decoded.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from models.attention import Kernel, MultiHeadAttention
from models.encoder import Activation, Mlp, Norm, Remat, layer_norm, rematerialised

Cache = dict[str, Any]


class DecoderBlock(nn.Module):
    """One layer (1706.03762, section 3.1, figure 1 right). Attributes: see Block of models/encoder.py."""

    width: int
    heads: int
    mlp_dim: int
    head_dim: int | None = None
    value_dim: int | None = None
    norm: Norm = "post"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    activation: Activation = "relu"
    kernel: Kernel = "xla"
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        attention = partial(
            MultiHeadAttention,
            self.width,
            self.heads,
            self.head_dim,
            self.value_dim,
            dropout=self.attention_dropout,
            kernel=self.kernel,
            dtype=self.dtype,
        )
        self.self_attention, self.cross_attention = attention(), attention()
        self.mlp = Mlp(self.mlp_dim, self.mlp_dropout, self.activation, self.dtype)
        self.self_norm, self.cross_norm, self.mlp_norm = (layer_norm(self.dtype) for _ in range(3))
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self, x: jax.Array, memory: jax.Array, self_mask: jax.Array, cross_mask: jax.Array, train: bool
    ) -> jax.Array:
        """x: (B, T, D); memory: (B, S, D); masks: bool, broadcastable to (B, H, T, T) and (B, H, T, S)."""
        x = self._add(x, self.self_norm, lambda y: self.self_attention(y, mask=self_mask, train=train), train)
        x = self._add(x, self.cross_norm, lambda y: self.cross_attention(y, memory, cross_mask, train=train), train)
        x = self._add(x, self.mlp_norm, lambda y: self.mlp(y, train=train), train)
        self.sow("probe", "output", x)
        return x

    def start(self, memory: jax.Array, beams: int, length: int) -> Cache:
        """What decoding keeps of this layer: the source's keys and values, once for all beams, and room for the
        target's, (B, H, L, K, d)."""
        key, value = self.cross_attention.kept(memory)
        room = (*key.shape[:2], length, beams)
        return {
            "cross_key": key,
            "cross_value": value,
            "key": jnp.zeros((*room, key.shape[-1]), key.dtype),
            "value": jnp.zeros((*room, value.shape[-1]), value.dtype),
        }

    def step(
        self, x: jax.Array, cache: Cache, index: jax.Array, self_mask: jax.Array, cross_mask: jax.Array
    ) -> tuple[jax.Array, Cache]:
        """The token at `index` of each beam, x (B, K, D); self_mask: bool (B, 1, K, L * K), which of all beams' past
        tokens belong to each; cross_mask: (B, 1, 1, S). Beams stand where tokens do in training: attention is the same.
        """

        def self_attention(y: jax.Array) -> jax.Array:
            for name, new in zip(("key", "value"), self.self_attention.kept(y), strict=True):
                cache[name] = jax.lax.dynamic_update_index_in_dim(cache[name], new, index, axis=2)
            key, value = (cache[name].reshape(*new.shape[:2], -1, cache[name].shape[-1]) for name in ("key", "value"))
            return self.self_attention.attend_to_kept(y, key, value, self_mask)

        def cross_attention(y: jax.Array) -> jax.Array:
            return self.cross_attention.attend_to_kept(y, cache["cross_key"], cache["cross_value"], cross_mask)

        cache = dict(cache)
        x = self._add(x, self.self_norm, self_attention, False)
        x = self._add(x, self.cross_norm, cross_attention, False)
        return self._add(x, self.mlp_norm, lambda y: self.mlp(y, train=False), False), cache

    def _add(
        self, x: jax.Array, norm: nn.LayerNorm, branch: Callable[[jax.Array], jax.Array], train: bool
    ) -> jax.Array:
        y = self.drop(branch(norm(x) if self.norm == "pre" else x), deterministic=not train)
        return x + y if self.norm == "pre" else norm(x + y)


class Decoder(nn.Module):
    """L blocks and, after pre-LN ones, a last LayerNorm. Attributes: see Encoder of models/encoder.py."""

    width: int
    depth: int
    heads: int
    mlp_dim: int
    head_dim: int | None = None
    value_dim: int | None = None
    norm: Norm = "post"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    activation: Activation = "relu"
    remat: Remat = "none"
    kernel: Kernel = "xla"
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        block = rematerialised(DecoderBlock, self.remat, static_argnums=(5,))
        self.blocks = [
            block(
                width=self.width,
                heads=self.heads,
                mlp_dim=self.mlp_dim,
                head_dim=self.head_dim,
                value_dim=self.value_dim,
                norm=self.norm,
                dropout=self.dropout,
                attention_dropout=self.attention_dropout,
                mlp_dropout=self.mlp_dropout,
                activation=self.activation,
                kernel=self.kernel,
                dtype=self.dtype,
                name=f"block_{layer:02}",
            )
            for layer in range(self.depth)
        ]
        if self.norm == "pre":
            self.last_norm = layer_norm(self.dtype, "norm")

    def __call__(
        self, x: jax.Array, memory: jax.Array, self_mask: jax.Array, cross_mask: jax.Array, *, train: bool
    ) -> jax.Array:
        """(B, T, D) -> (B, T, D), normalised; arguments as DecoderBlock's."""
        for block in self.blocks:
            x = block(x, memory, self_mask, cross_mask, train)
        return self.last_norm(x) if self.norm == "pre" else x

    def start(self, memory: jax.Array, beams: int, length: int) -> list[Cache]:
        """Each layer's cache: see DecoderBlock."""
        return [block.start(memory, beams, length) for block in self.blocks]

    def step(
        self, x: jax.Array, caches: list[Cache], index: jax.Array, self_mask: jax.Array, cross_mask: jax.Array
    ) -> tuple[jax.Array, list[Cache]]:
        """(B, K, D) -> (B, K, D) and the caches with this token; arguments as DecoderBlock's."""
        after = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block.step(x, cache, index, self_mask, cross_mask)
            after.append(cache)
        return (self.last_norm(x) if self.norm == "pre" else x), after
