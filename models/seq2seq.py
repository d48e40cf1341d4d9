"""Recurrent encoder-decoders, with a fixed context vector (1406.1078) or with attention (1409.0473, 1508.04025).

B batch, S source, T target, E embedding, H hidden, D = H or 2H the encoder's width, K beams, V vocabulary.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from errors import UserError
from models.cells import Carry, Cell, cell, hidden, read

Kind = Literal["none", "bahdanau", "luong_dot", "luong_general"]
Memory = dict[str, jax.Array]
State = tuple[list[Carry], jax.Array | None]


class Model(nn.Module):
    """p(y_t | y_<t, x) by an encoder that reads x and a decoder that reads y, one cell a token.

    With s_t the decoder's state, e_t the embedding of y_{t-1}, h_j what the encoder says of x_j (both directions) and
    c_t = Σ_j α_tj h_j, α_t = softmax_j(score), padding left out:

      none           c the encoder's last state; s_t = cell(s_{t-1}, [e_t; c]); logits W [e_t; s_t; c]
      bahdanau       score v^T tanh(W s_{t-1} + U h_j); s_t = cell(s_{t-1}, [e_t; c_t]); logits W [e_t; s_t; c_t]
      luong_dot      score s_t^T h_j (of 2H projected to H); s_t = cell(s_{t-1}, [e_t; h~_{t-1}]); logits W h~_t
      luong_general  score s_t^T W h_j, the rest as luong_dot; h~_t = tanh(W [c_t; s_t]), which is fed to the next step

    Every layer of the decoder starts from tanh(W s + b), s the last state of the encoder's same layer in both directions
    (1409.0473, appendix A.2.2, has the backward one). A recurrence runs through whole rows: sentences must begin at the
    first token and padding stand at the end.

    Initialisation: embeddings normal with σ = E^-1/2, input kernels Xavier uniform, recurrent ones orthogonal, biases 0.

    Attributes:
      outputs: V, the target's vocabulary. source_vocabulary: the source's; None: the same one.
      cell: "rnn" (tanh) | "lstm" | "gru". attention: see above. bidirectional: whether the encoder reads both ways.
      embedding_dim, hidden_dim: E and H. layers: of the encoder and of the decoder.
      dropout: on embeddings, between layers and before the output layer.
      tie: whether the output layer is a projection to E and then the target's embedding (1608.05859).
      dtype: of the computation and the states; parameters and logits are float32.

    Raises:
      UserError: a size that is not positive or a dropout that is no rate.
    """

    outputs: int
    source_vocabulary: int | None
    cell: Cell
    attention: Kind
    bidirectional: bool
    embedding_dim: int
    hidden_dim: int
    layers: int = 1
    dropout: float = 0.0
    tie: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"

    def setup(self) -> None:
        for key in ("outputs", "source_vocabulary", "embedding_dim", "hidden_dim", "layers"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise UserError(f"config.model.{key}={getattr(self, key)} must be positive.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"config.model.dropout={self.dropout} must be at least 0 and less than 1.")
        dtype = jnp.dtype(self.dtype)
        shared = (self.cell, self.attention, self.hidden_dim, self.layers, self.dropout, dtype)
        self.source_embedding = nn.Embed(self.source_vocabulary or self.outputs, self.embedding_dim, dtype=dtype)
        self.target_embedding = nn.Embed(self.outputs, self.embedding_dim, dtype=dtype)
        self.encoder = Encoder(*shared, bidirectional=self.bidirectional)
        self.decoder = Decoder(*shared)
        if self.tie:
            self.pre_logits = dense(self.embedding_dim, dtype)
        else:
            self.head = dense(self.outputs, dtype)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        source: jax.Array,
        inputs: jax.Array,
        source_segment: jax.Array | None = None,
        target_segment: jax.Array | None = None,
        *,
        train: bool,
    ) -> jax.Array:
        """Teacher forcing: the logits of every target token, given those before it.

        Args:
          source: int32 (B, S). inputs: int32 (B, T), BOS and then the target shifted right.
          source_segment, target_segment: of packed rows, which these models cannot read.

        Returns:
          float32 (B, T, V). The probe `cross_attention` is α, (B, T, S).
        """
        if source_segment is not None or target_segment is not None:
            raise UserError(
                "a recurrence cannot keep the sentences of a packed row apart: set --config.data.packing=false, or take "
                "the transformer."
            )
        memory, state = self._encode(source, beams=1, train=train)
        embedded = self.drop(self.target_embedding(inputs), deterministic=not train)

        def step(decoder: Decoder, state: State, embedded: jax.Array) -> tuple[State, Any]:
            return decoder(state, embedded, memory, train=train)

        scan = nn.scan(
            step, variable_broadcast="params", split_rngs={"params": False, "dropout": True}, in_axes=1, out_axes=1
        )
        _, (x, weights) = scan(self.decoder, state, embedded[:, :, None])
        if weights is not None:
            self.sow("probe", "cross_attention", weights[:, :, 0])
        return self._logits(x[:, :, 0], train=train)  # of all T in one product

    def start(self, source: jax.Array, *, beams: int, length: int) -> dict[str, Any]:
        """What `step` needs before the first token, K = `beams` rows a sentence; `length` bounds nothing here.

        Returns:
          {"memory": the encoder's (B, S, ·), not repeated for the beams; "state": the decoder's (B, K, H)}.
        """
        memory, state = self._encode(source, beams=beams, train=False)
        return {"memory": memory, "state": state}

    def step(self, tokens: jax.Array, parents: jax.Array, cache: dict[str, Any]) -> tuple[jax.Array, dict[str, Any]]:
        """One token on: row k follows row parents[b, k] of the call before.

        Args:
          tokens, parents: int32 (B, K); first BOS and arange(K).

        Returns:
          float32 logits (B, K, V) of the next token, and the cache.
        """
        state = jax.tree.map(lambda x: jnp.take_along_axis(x, parents[:, :, None], axis=1), cache["state"])
        state, (x, _) = self.decoder(state, self.target_embedding(tokens), cache["memory"], train=False)
        return self._logits(x, train=False), cache | {"state": state}

    def _encode(self, source: jax.Array, *, beams: int, train: bool) -> tuple[Memory, State]:
        valid = source != 0
        embedded = self.drop(self.source_embedding(source), deterministic=not train)
        memory, carries = self.encoder(embedded, valid, train=train)
        carries = jax.tree.map(lambda x: jnp.repeat(x[:, None], beams, axis=1), carries)
        fed = jnp.zeros_like(hidden(carries[-1])) if self.attention.startswith("luong") else None
        return memory, (carries, fed)

    def _logits(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = self.drop(x, deterministic=not train)
        x = self.target_embedding.attend(self.pre_logits(x)) if self.tie else self.head(x)
        return x.astype(jnp.float32)


class Encoder(nn.Module):
    """Layers of cells in one or both directions, and what the decoder asks of them.

    Attributes: see Model.
    """

    cell: Cell
    attention: Kind
    hidden_dim: int
    layers: int
    dropout: float
    dtype: DTypeLike
    bidirectional: bool

    @nn.compact
    def __call__(self, x: jax.Array, valid: jax.Array, *, train: bool) -> tuple[Memory, list[Carry]]:
        """Reads x (B, S, E) as far as valid (B, S) says.

        Returns:
          what a decoder attends to: "values" (B, S, D) and their "keys" (B, S, H), which no step has to compute again,
          and "valid" (B, S); without attention "values" (B, 1, D), the last state.
          the decoder's carries, (B, H) each, one a layer.
        """
        lengths, start = valid.sum(axis=1), []
        for layer in range(self.layers):
            if layer:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x, last = read(
                self.cell, self.hidden_dim, self.dtype, x, lengths, layer=layer, bidirectional=self.bidirectional
            )
            parts, tree = jax.tree.flatten(last)
            parts = [dense(self.hidden_dim, self.dtype, f"start_{layer}_{i}")(part) for i, part in enumerate(parts)]
            start.append(jax.tree.unflatten(tree, map(jnp.tanh, parts)))

        if self.attention == "none":
            return {"values": hidden(last)[:, None]}, start
        keys = x
        if self.attention != "luong_dot" or self.bidirectional:
            bias = self.attention == "bahdanau"
            keys = dense(self.hidden_dim, self.dtype, "key", use_bias=bias)(x)
        values = keys if self.attention == "luong_dot" else x
        return {"values": values, "keys": keys, "valid": valid}, start


class Decoder(nn.Module):
    """One step of the decoder. Attributes: see Model."""

    cell: Cell
    attention: Kind
    hidden_dim: int
    layers: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, state: State, embedded: jax.Array, memory: Memory, *, train: bool
    ) -> tuple[State, tuple[jax.Array, jax.Array | None]]:
        """From s_{t-1} (and h~_{t-1}), (B, K, H), and e_t, (B, K, E), to s_t (and h~_t).

        Returns:
          the state, and what the output layer sees ([e_t; s_t; c_t] or h~_t) with the weights α_t (B, K, S) or None.
        """
        carries, fed = state  # fed: Luong's h~ alone
        attend = Attention(self.attention, self.hidden_dim, self.dtype, name="attention")
        if fed is None:
            context, weights = attend(hidden(carries[-1]), memory)
        x = jnp.concatenate([embedded, context if fed is None else fed], axis=-1)
        after = []
        for layer, carry in enumerate(carries):
            if layer:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            carry, x = cell(self.cell, self.hidden_dim, self.dtype, f"layer_{layer}")(carry, x)
            after.append(carry)
        if fed is None:
            x = jnp.concatenate([embedded, x, context], axis=-1)
        else:
            context, weights = attend(x, memory)
            combine = dense(self.hidden_dim, self.dtype, "combine", use_bias=False)
            x = fed = jnp.tanh(combine(jnp.concatenate([context, x], axis=-1)))
        return (after, fed), (x, weights)


class Attention(nn.Module):
    """c_t and α_t of a state, over the source of its sentence. Attributes: see Model."""

    kind: Kind
    hidden_dim: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, query: jax.Array, memory: Memory) -> tuple[jax.Array, jax.Array | None]:
        """query (B, K, H); memory as Encoder returns it. Returns (B, K, D) and (B, K, S): zeros where all is padding."""
        if self.kind == "none":
            return jnp.repeat(memory["values"], query.shape[1], axis=1), None
        if self.kind == "bahdanau":
            query = dense(self.hidden_dim, self.dtype, "query", use_bias=False)(query)
            x = jnp.tanh(query[:, :, None] + memory["keys"][:, None])
            scores = dense(1, self.dtype, "score", use_bias=False)(x)[..., 0]
        else:
            scores = jnp.einsum("bkh,bsh->bks", query, memory["keys"], preferred_element_type=jnp.float32)
        valid = memory["valid"][:, None]
        weights = jax.nn.softmax(jnp.where(valid, scores.astype(jnp.float32), jnp.finfo(jnp.float32).min))
        weights = jnp.where(valid, weights, 0.0).astype(self.dtype)
        return jnp.einsum("bks,bsd->bkd", weights, memory["values"]), weights


def dense(features: int, dtype: DTypeLike, name: str | None = None, use_bias: bool = True) -> nn.Dense:
    xavier = nn.initializers.xavier_uniform()
    return nn.Dense(features, use_bias=use_bias, kernel_init=xavier, dtype=dtype, name=name)
