"""T5 (1910.10683) and T5 v1.1: Transformers whose only positions are biases of attention.

B batch, S source tokens, T target tokens, D width, F MLP, H heads, V vocabulary, K beams, L the longest target
of decoding.
"""

from dataclasses import dataclass
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
from models.attention import Initialisers
from models.decoder import Cache, Decoder, follow
from models.encoder import Activation, Encoder, Remat
from models.kernel_choice import Kernel
from models.masks import as_mask, causal_mask, padding_mask, segment_mask
from models.positions import RelativeBias

ACTIVATION: dict[str, Activation] = {"1.0": "relu", "1.1": "geglu_tanh"}  # of each version
Version = Literal["1.0", "1.1"]


@dataclass(frozen=True)
class Sizes(variants.Sizes):
    """Those of a Transformer and the size of a head."""

    head_dim: int


class Model(nn.Module):
    """Embedding, encoder, decoder, output layer: pre-norm with RMSNorm, no biases, scores that are not divided by the
    root of the head size. Instead of positions, self-attention's scores have a bias for each head and each bucket of
    distances (see RelativeBias), the same in all layers of the encoder, and in all of the decoder.

    Initialisation, as Mesh TensorFlow's: every matrix N(0, 1 / inputs), but the query's N(0, 1 / (inputs · head size)),
    which takes the place of dividing; embeddings N(0, 1); biases of distances N(0, 1 / D).

    Attributes:
      outputs: V of the target.
      source_vocabulary: V of the source; None when it shares the target's vocabulary, as T5 does.
      version: "1.0": MLPs with ReLU; the output layer is the transposed embedding, and what it reads is multiplied by
        D^-0.5. "1.1": MLPs gated by GELU (2002.05202), and an output layer of its own.
      variant: "small", "base", "large" or "3B" of version 1.0; "small", "base", "large" or "XL" of 1.1; "" when width,
        depth, mlp_dim and heads are all given.
      width: D; replaces the variant's.
      depth: the number of layers; replaces the variant's.
      mlp_dim: F; replaces the variant's.
      heads: H; replaces the variant's.
      head_dim: of queries, keys and values, d_kv; replaces the variant's. D / H where neither is given.
      decoder_depth: the number of the decoder's layers; the encoder's when None.
      buckets: of distances.
      max_distance: from which all distances have one bucket.
      dropout: on embeddings, on attention weights, within MLPs, on the output of each sub-layer and of each stack. The
        paper has 0.1, but 0 where version 1.1 is pre-trained.
      norm_epsilon: what RMSNorm adds to the mean square.
      remat: what the backward pass computes again: see Encoder of models/encoder.py.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    source_vocabulary: Size | None = None
    version: Version = "1.0"
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    mlp_dim: Size | None = None
    heads: Size | None = None
    head_dim: Size | None = None
    decoder_depth: Depth | None = None
    buckets: Size = 32
    max_distance: Size = 128
    dropout: Rate = 0.1
    norm_epsilon: PositiveFloat = 1e-6
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> Sizes:
        """The sizes of the variant, each replaced where it is given."""
        given = {key: getattr(self, key) for key in ("width", "depth", "mlp_dim", "heads")}
        fields = variants.sizes(self.variant, sizes.T5[self.version], **given)
        head_dim = self.head_dim or fields.pop("head_dim", None)
        if head_dim is None and fields["width"] % fields["heads"]:
            raise UserError(
                f"config.model.width={fields['width']} does not divide by heads={fields['heads']}: set "
                "config.model.head_dim."
            )
        return Sizes(**fields | {"head_dim": head_dim or fields["width"] // fields["heads"]})

    def setup(self) -> None:
        """Names the parts."""
        size, dtype = self.size, jnp.dtype(self.dtype)
        if self.source_vocabulary is not None:
            raise UserError("config.model.name='t5' has one vocabulary for both sides: set --config.data.joint=true")
        if self.buckets % 4 or self.max_distance <= self.buckets // 2:
            raise UserError(
                f"config.model.buckets={self.buckets} must divide by 4, and half of them must be less than "
                f"max_distance={self.max_distance}."
            )
        self.embedding = nn.Embed(self.outputs, size.width, embedding_init=nn.initializers.normal(1.0), dtype=dtype)
        inputs = partial(nn.initializers.variance_scaling, mode="fan_in", distribution="normal")
        if self.version == "1.1":
            self.head = nn.Dense(self.outputs, use_bias=False, kernel_init=inputs(1.0), dtype=dtype)
        relative = partial(
            RelativeBias,
            size.heads,
            buckets=self.buckets,
            furthest=self.max_distance,
            embedding_init=nn.initializers.normal(size.width**-0.5),
        )
        self.encoder_relative, self.decoder_relative = relative(both_sides=True), relative(both_sides=False)
        layers: dict[str, Any] = dict(  # arguments of Encoder and Decoder
            heads=size.heads,
            mlp_dim=size.mlp_dim,
            head_dim=size.head_dim,
            norm="pre",
            norm_kind="rms",
            norm_epsilon=self.norm_epsilon,
            dropout=self.dropout,
            attention_dropout=self.dropout,
            mlp_dropout=self.dropout,
            scale=False,
            activation=ACTIVATION[self.version],
            use_bias=False,
            initialisers=Initialisers(
                kernel=inputs(1.0),
                residual=inputs(1.0),
                bias=nn.initializers.zeros,
                query=inputs(1 / size.head_dim),
            ),
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
        self_mask, cross_mask = causal_mask(), as_mask(padding_mask(source != 0))
        if source_segment is not None and target_segment is not None:
            self_mask &= segment_mask(target_segment, target_segment)
            cross_mask = segment_mask(target_segment, source_segment)
        x = self.drop(self.embedding(inputs), deterministic=not train)
        bias = self.decoder_relative(inputs.shape[1], inputs.shape[1])
        x = self.decoder(x, memory, self_mask, cross_mask, bias, train=train)
        return self._logits(self.drop(x, deterministic=not train))

    def encode(
        self, source: Int[AnyArray, "B S"], source_segment: Int[AnyArray, "B S"] | None = None, *, train: bool
    ) -> Float[Array, "B S D"]:
        """The source as the decoder sees it."""
        mask = padding_mask(source != 0) if source_segment is None else segment_mask(source_segment, source_segment)
        x = self.drop(self.embedding(source), deterministic=not train)
        x = self.encoder(x, mask, self.encoder_relative(source.shape[1], source.shape[1]), train=train)
        return self.drop(x, deterministic=not train)

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
        index, beams, length = cache["index"], tokens.shape[1], cache["writer"].shape[2]
        writer, mask = follow(cache["writer"], parents, index)
        bias = jnp.repeat(self.decoder_relative.row(index, length), beams, axis=-1)  # K kept tokens at each place
        x, layers = self.decoder.step(
            self.embedding(tokens), cache["layers"], index * beams, mask, cache["source_mask"], bias
        )
        return self._logits(x), cache | {"layers": layers, "index": index + 1, "writer": writer}

    def lens(self, x: Float[Array, "B T D"]) -> Float32[Array, "B T V"]:
        """The logits that the output layer makes of the decoder's residual stream after any of its layers."""
        return self._logits(self.decoder.normalised(x))

    def _logits(self, x: jax.Array) -> jax.Array:
        if self.version == "1.1":
            return self.head(x).astype(jnp.float32)
        return self.embedding.attend(x * self.size.width**-0.5).astype(jnp.float32)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2, "head_dim": 8}
