"""The Transformer (1706.03762): an encoder reads the source, a decoder writes the target, attending to both.

B batch, S source tokens, T target tokens, D width, F MLP, H heads, V vocabulary, K beams, L the longest target
of decoding.
"""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int
from pydantic import PositiveFloat

from errors import UserError
from lookup import Depth, Rate, Size
from models import sizes, variants
from models.arrays import AnyArray
from models.attention import Options
from models.decoder import Cache, Decoder, follow
from models.encoder import Activation, Encoder, Norm, Remat
from models.kernel_choice import Kernel
from models.masks import as_mask, causal_mask, padding_mask, segment_mask
from models.positions import AddTokenPositions, RelativeBias, TokenKind, positions_in_segments

BUCKETS, FURTHEST = 32, 128  # of distances: see RelativeBias


class Model(nn.Module):
    """Embeddings, encoder, decoder, output layer.

    Attributes:
      outputs: V of the target.
      source_vocabulary: V of the source; None when it shares the target's vocabulary.
      variant: "base" or "big" of Table 3; "" when width, depth, mlp_dim and heads are all given.
      width: D; replaces the variant's.
      depth: the number of layers; replaces the variant's.
      mlp_dim: F; replaces the variant's.
      heads: H; replaces the variant's.
      decoder_depth: the number of the decoder's layers; the encoder's when None.
      head_dim: d_k of Table 3; D / H when None.
      value_dim: d_v of Table 3; as head_dim when None.
      norm: "post" as in the paper, "pre", or "none".
      residual: whether each sub-layer's output is added to its input, or takes its place.
      scale: whether scores are divided by the root of the head size.
      causal: whether a target token sees only those before it. Without it, training shows the decoder its answer.
      positions: see AddTokenPositions of models/positions.py; or those that self-attention alone sees: "rotary", see
        Options of models/attention.py, or "relative", see RelativeBias of models/positions.py, with T5's buckets.
      max_length: the number of learned positions; sinusoids have no end.
      tie: "all": source, target and output layer share one matrix (section 3.4) | "target": target and output |
        "none".
      scale_embeddings: whether embeddings are multiplied by sqrt(D), as in the paper (section 3.4).
      output_bias: whether the output layer has a bias, as Marian's has; the paper's has none.
      dropout: on the output of each sub-layer and on embeddings with positions (section 5.4).
      attention_dropout: on attention weights, where the paper has none and its later code has.
      mlp_dropout: within MLPs, likewise.
      activation: of the MLPs.
      norm_epsilon: what LayerNorm adds to the variance.
      remat: what the backward pass computes again: see Encoder of models/encoder.py.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    source_vocabulary: Size | None
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    mlp_dim: Size | None = None
    heads: Size | None = None
    decoder_depth: Depth | None = None
    head_dim: Size | None = None
    value_dim: Size | None = None
    norm: Norm = "post"
    residual: bool = True
    scale: bool = True
    causal: bool = True
    positions: TokenKind | Literal["rotary", "relative"] = "sinusoid_1d"
    max_length: Size = 256
    tie: Literal["all", "target", "none"] = "all"
    scale_embeddings: bool = True
    output_bias: bool = False
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.0
    mlp_dropout: Rate = 0.0
    activation: Activation = "relu"
    norm_epsilon: PositiveFloat = 1e-6
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> variants.Sizes:
        """The sizes of the variant, each replaced where it is given."""
        given = {key: getattr(self, key) for key in ("width", "depth", "mlp_dim", "heads")}
        fields = variants.sizes(self.variant, sizes.TRANSFORMER, **given)
        if self.head_dim is None:
            variants.split_by_heads(fields)
        if fields["width"] % 2:
            raise UserError(f"config.model.width={fields['width']} must be even, for sines and cosines.")
        return variants.Sizes(**fields)

    def setup(self) -> None:
        """Names the parts."""
        size, dtype = self.size, jnp.dtype(self.dtype)
        if self.tie == "all" and self.source_vocabulary is not None:
            raise UserError(
                "config.model.tie='all' needs one vocabulary for both languages: set --config.data.joint=true or "
                "--config.model.tie=target"
            )
        embed = partial(
            nn.Embed, features=size.width, embedding_init=nn.initializers.normal(size.width**-0.5), dtype=dtype
        )
        self.embedding = embed(self.outputs)
        if self.tie != "all":
            self.source_embedding = embed(self.source_vocabulary or self.outputs)
        if self.tie == "none":
            self.head = nn.Dense(
                self.outputs, use_bias=False, kernel_init=nn.initializers.xavier_uniform(), dtype=dtype
            )
        if self.output_bias:
            self.bias = self.param("logits_bias", nn.initializers.zeros, (self.outputs,))
        added: TokenKind = "none" if self.positions == "rotary" or self.positions == "relative" else self.positions
        self.source_positions = AddTokenPositions(added, self.max_length)
        self.target_positions = AddTokenPositions(added, self.max_length)
        if self.positions == "relative":
            relative = partial(
                RelativeBias,
                size.heads,
                buckets=BUCKETS,
                furthest=FURTHEST,
                embedding_init=nn.initializers.normal(size.width**-0.5),
            )
            self.encoder_relative, self.decoder_relative = relative(both_sides=True), relative(both_sides=False)
        layers: dict[str, Any] = dict(  # arguments of Encoder and Decoder
            heads=size.heads,
            mlp_dim=size.mlp_dim,
            head_dim=self.head_dim,
            value_dim=self.value_dim,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            mlp_dropout=self.mlp_dropout,
            residual=self.residual,
            scale=self.scale,
            activation=self.activation,
            options=Options(distances="rotary" if self.positions == "rotary" else "none"),
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
        )
        self.encoder = Encoder(depth=size.depth, **layers)
        self.decoder = Decoder(size.width, self.decoder_depth or size.depth, **layers)
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
        """The logits of every next token, all at once.

        Args:
          source: 0 where there is nothing.
          inputs: the target shifted right.
          source_segment, target_segment: of rows that hold several sentences, the number 1, 2, ... of each token's
            sentence and 0 where there is nothing. Sentences see only themselves.
        """
        memory = self.encode(source, source_segment, train=train)
        self_mask = causal_mask() if self.causal else as_mask(padding_mask(inputs != 0))
        cross_mask = as_mask(padding_mask(source != 0))
        if source_segment is not None and target_segment is not None:
            self_mask &= segment_mask(target_segment, target_segment)
            cross_mask = segment_mask(target_segment, source_segment)
        x, length = self._embed(self.embedding, self.target_positions, inputs, target_segment, train), inputs.shape[1]
        bias = self.decoder_relative(length, length) if self.positions == "relative" else None
        return self._logits(self.decoder(x, memory, self_mask, cross_mask, bias, train=train))

    def encode(
        self, source: Int[AnyArray, "B S"], source_segment: Int[AnyArray, "B S"] | None = None, *, train: bool
    ) -> Float[Array, "B S D"]:
        """The source as the decoder sees it."""
        mask = padding_mask(source != 0) if source_segment is None else segment_mask(source_segment, source_segment)
        embedding = self.embedding if self.tie == "all" else self.source_embedding
        x, length = self._embed(embedding, self.source_positions, source, source_segment, train), source.shape[1]
        bias = self.encoder_relative(length, length) if self.positions == "relative" else None
        return self.encoder(x, mask, bias, train=train)

    def start(self, source: Int[AnyArray, "B S"], *, beams: int, length: int) -> Cache:
        """The cache that `step` begins with.

        Args:
          source: 0 where there is nothing.
          beams: K, rows for each sentence.
          length: L, the most calls of `step`.
        """
        return {
            "layers": self.decoder.start(self.encode(source, train=False), length * beams),
            "source_mask": padding_mask(source != 0),
            "index": jnp.zeros((), jnp.int32),
            "writer": jnp.zeros((source.shape[0], beams, length), jnp.int32),
        }

    def step(
        self, tokens: Int[AnyArray, "B K"], parents: Int[AnyArray, "B K"], cache: Cache
    ) -> tuple[Float32[Array, "B K V"], Cache]:
        """The logits of the next token of each beam, and the cache with this one.

        Args:
          tokens: the last token of each beam.
          parents: the beam of the step before that each beam continues.
          cache: of `start` or of the step before.
        """
        index, length = cache["index"], cache["writer"].shape[2]
        (writer, mask), beams = follow(cache["writer"], parents, index), tokens.shape[1]
        position = index[None, None]
        x = self.target_positions(self._scaled(self.embedding(tokens)), position, length)
        bias = None
        if self.positions == "relative":
            bias = jnp.repeat(self.decoder_relative.row(index, length), beams, axis=-1)  # K kept tokens at each place
        x, layers = self.decoder.step(x, cache["layers"], index * beams, mask, cache["source_mask"], bias, position)
        return self._logits(x), cache | {"layers": layers, "index": index + 1, "writer": writer}

    def lens(self, x: Float[Array, "B T D"]) -> Float32[Array, "B T V"]:
        """The logits that the output layer makes of the decoder's residual stream after any of its layers."""
        return self._logits(self.decoder.normalised(x))

    def _embed(
        self,
        embedding: nn.Embed,
        positions: AddTokenPositions,
        tokens: AnyArray,
        segment: AnyArray | None,
        train: bool,
    ) -> jax.Array:
        position = jnp.arange(tokens.shape[1])[None] if segment is None else positions_in_segments(segment)
        return self.drop(positions(self._scaled(embedding(tokens)), position, tokens.shape[1]), deterministic=not train)

    def _scaled(self, x: jax.Array) -> jax.Array:
        return x * self.size.width**0.5 if self.scale_embeddings else x

    def _logits(self, x: jax.Array) -> jax.Array:
        logits = (self.head(x) if self.tie == "none" else self.embedding.attend(x)).astype(jnp.float32)
        return logits + self.bias if self.output_bias else logits


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2}
