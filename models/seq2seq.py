"""Recurrent encoder-decoders, with a fixed context vector (1406.1078) or with attention (1409.0473, 1508.04025).

B batch, S source tokens, T target tokens, E embedding, H hidden, D = H or 2H the encoder's width, K beams,
V vocabulary.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int, PyTree

from errors import UserError
from lookup import Depth, Rate, Size
from models.arrays import AnyArray
from models.cells import Carry, Cell, cell, hidden, read

Kind = Literal["none", "bahdanau", "luong_dot", "luong_general"]
Cache = dict[str, PyTree]
Memory = dict[str, AnyArray]
State = tuple[list[Carry], jax.Array | None]


class Model(nn.Module):
    """p(y_t | y_<t, x) by an encoder that reads x and a decoder that reads y, one cell a token.

    With s_t the decoder's state, e_t the embedding of y_{t-1}, h_j the encoder's states at x_j (both directions) and
    c_t = Σ_j α_tj h_j, α_t = softmax_j(score), padding left out:

      none           c the encoder's last state; s_t = cell(s_{t-1}, [e_t; c]); logits W [e_t; s_t; c]
      bahdanau       score v^T tanh(W s_{t-1} + U h_j); s_t = cell(s_{t-1}, [e_t; c_t]); logits W [e_t; s_t; c_t]
      luong_dot      score s_t^T h_j (of 2H projected to H); s_t = cell(s_{t-1}, [e_t; h~_{t-1}]); logits W h~_t
      luong_general  score s_t^T W h_j, the rest as luong_dot; h~_t = tanh(W [c_t; s_t]), which is fed to the next step

    Every layer of the decoder starts from tanh(W s + b), s the last state of the encoder's same layer in both
    directions (1409.0473, appendix A.2.2, has the backward one). A recurrence runs through whole rows: sentences must
    begin at the first token, and padding must be at the end.

    Initialisation: embeddings N(0, 1/E), input kernels Xavier uniform, recurrent ones orthogonal, biases 0.

    Attributes:
      outputs: V of the target.
      source_vocabulary: V of the source; None when it shares the target's vocabulary.
      cell: "rnn" (tanh) | "lstm" | "gru".
      attention: "none" | "bahdanau" | "luong_dot" | "luong_general": see above.
      bidirectional: whether the encoder reads both ways.
      embedding_dim: E.
      hidden_dim: H.
      layers: the number of layers of the encoder, and of the decoder.
      dropout: on embeddings, between layers and before the output layer.
      tie: whether the output layer is a projection to E and then the target's embedding (1608.05859).
      dtype: of the computation and the states; parameters and logits are float32.
    """

    outputs: int
    source_vocabulary: Size | None
    cell: Cell
    attention: Kind
    bidirectional: bool = True
    embedding_dim: Size = 256
    hidden_dim: Size = 512
    layers: Depth = 1
    dropout: Rate = 0.3
    tie: bool = True
    dtype: Literal["float32", "bfloat16"] = "float32"

    def setup(self) -> None:
        """Names the parts."""
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
        source: Int[AnyArray, "B S"],
        inputs: Int[AnyArray, "B T"],
        source_segment: Int[AnyArray, "B S"] | None = None,
        target_segment: Int[AnyArray, "B T"] | None = None,
        *,
        train: bool,
    ) -> Float32[Array, "B T V"]:
        """Teacher forcing: the logits of every target token, given those before it. The probe `cross_attention` is α,
        (B, T, S).

        Args:
          source: 0 where there is nothing.
          inputs: BOS and then the target shifted right.
          source_segment, target_segment: of packed rows, which these models cannot read.

        Raises:
          UserError: packed rows.
        """
        if source_segment is not None or target_segment is not None:
            raise UserError(
                "a recurrence cannot keep the sentences of a packed row apart: set --config.data.packing=false, or "
                "take the transformer."
            )
        memory, state = self._encode(source, beams=1, train=train)
        embedded = self.drop(self.target_embedding(inputs), deterministic=not train)

        def step(decoder: Decoder, state: State, embedded: jax.Array) -> tuple[State, PyTree]:
            return decoder(state, embedded, memory, train=train)

        scan = nn.scan(
            step, variable_broadcast="params", split_rngs={"params": False, "dropout": True}, in_axes=1, out_axes=1
        )
        _, (x, weights) = scan(self.decoder, state, embedded[:, :, None])
        if weights is not None:
            self.sow("probe", "cross_attention", weights[:, :, 0])
        return self._logits(x[:, :, 0], train=train)  # of all T in one product

    def start(self, source: Int[AnyArray, "B S"], *, beams: int, length: int) -> Cache:
        """The cache that `step` begins with: "memory", the encoder's output (B, S, ·), once for all beams, and "state",
        the decoder's (B, K, H).

        Args:
          source: 0 where there is nothing.
          beams: K, rows for each sentence.
          length: the most calls of `step`, which a recurrence need not know.
        """
        memory, state = self._encode(source, beams=beams, train=False)
        return {"memory": memory, "state": state}

    def step(
        self, tokens: Int[AnyArray, "B K"], parents: Int[AnyArray, "B K"], cache: Cache
    ) -> tuple[Float32[Array, "B K V"], Cache]:
        """The logits of the next token of each beam, and the cache with this one.

        Args:
          tokens: the last token of each beam; first BOS.
          parents: the beam of the step before that each beam continues.
          cache: of `start` or of the step before.
        """
        state = jax.tree.map(lambda x: jnp.take_along_axis(x, parents[:, :, None], axis=1), cache["state"])
        state, (x, _) = self.decoder(state, self.target_embedding(tokens), cache["memory"], train=False)
        return self._logits(x, train=False), cache | {"state": state}

    def _encode(self, source: AnyArray, *, beams: int, train: bool) -> tuple[Memory, State]:
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
    """Layers of cells in one or both directions, and what the decoder reads of them.

    Attributes:
      cell, attention, hidden_dim, layers, dropout, dtype, bidirectional: see Model.
    """

    cell: Cell
    attention: Kind
    hidden_dim: int
    layers: int
    dropout: float
    dtype: DTypeLike
    bidirectional: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "B S E"], valid: Bool[AnyArray, "B S"], *, train: bool
    ) -> tuple[Memory, list[Carry]]:
        """Reads the tokens of x that are valid.

        Returns:
          the memory that a decoder attends to: "values" (B, S, D) and their "keys" (B, S, H), so that no step has to
          compute them again, and "valid" (B, S); without attention "values" (B, 1, D), the last state.
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
    """One step of the decoder.

    Attributes:
      cell, attention, hidden_dim, layers, dropout, dtype: see Model.
    """

    cell: Cell
    attention: Kind
    hidden_dim: int
    layers: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, state: State, embedded: Float[Array, "B K E"], memory: Memory, *, train: bool
    ) -> tuple[State, tuple[Float[Array, "B K X"], Float[Array, "B K S"] | None]]:
        """From s_{t-1} (and h~_{t-1}), (B, K, H), and e_t to s_t (and h~_t).

        Returns:
          the state, and the input of the output layer ([e_t; s_t; c_t] or h~_t) with the weights α_t, if there are any.
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
    """c_t and α_t of a state, over the source of its sentence.

    Attributes:
      kind: attention of Model.
      hidden_dim, dtype: see Model.
    """

    kind: Kind
    hidden_dim: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, query: Float[Array, "B K H"], memory: Memory
    ) -> tuple[Float[Array, "B K D"], Float[Array, "B K S"] | None]:
        """The context and the weights, which are zero where all is padding. memory: as Encoder returns it."""
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
    """A linear layer that is initialised Xavier uniform."""
    xavier = nn.initializers.xavier_uniform()
    return nn.Dense(features, use_bias=use_bias, kernel_init=xavier, dtype=dtype, name=name)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"embedding_dim": 16, "hidden_dim": 16}
