"""BERT: a Transformer encoder that sees a text from both sides (1810.04805), and RoBERTa (1907.11692), by its keys.

B batch, T tokens, M places that are predicted, D width, H heads, F MLP, V vocabulary, C classes.
"""

from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from annotated_types import Interval
from jaxtyping import Array, Float, Float32, Int
from pydantic import NonNegativeInt, PositiveFloat

from errors import UserError
from lookup import Depth, Rate, Size
from models import sizes, variants
from models.arrays import AnyArray
from models.attention import Initialisers
from models.encoder import ACTIVATIONS, Activation, Encoder, Remat, layer_norm
from models.kernel_choice import Kernel
from models.masks import as_mask, padding_mask, segment_mask
from models.positions import positions_in_segments

NORMAL = nn.initializers.truncated_normal(0.02)  # cut at two deviations; of every matrix at the beginning


class Model(nn.Module):
    """Embeddings of words, positions and segments, post-LN blocks, and one of three heads.

    RoBERTa: types=1, first_position=2, norm_epsilon=1e-5; and padding=1 for ids as its own files number them.

    Attributes:
      outputs: C, or V where the head predicts words; 0 leaves the head out and returns the representation: [CLS] after
        the pooler, or each token.
      vocabulary: V.
      variant: "Tiny", "Mini", "Small", "Medium", "Base" or "Large"; "" when width, depth and heads are all given.
      width: D; replaces the variant's.
      depth: the number of layers; replaces the variant's.
      heads: H; replaces the variant's.
      mlp_dim: F; 4 D when None.
      head: "sentence": classes by the first token, [CLS], after the pooler (a dense layer and tanh) | "tokens": classes
        of every token | "words": the masked language model.
      next_sentence: whether "words" also tells, by the pooler, whether the second segment follows the first.
      max_length: the most tokens of a row.
      types: the number of segments that are told apart: 2, or 1 for none.
      first_position: the row of the position table that the first token has.
      padding: the id of padding, which no token sees.
      dropout: on embeddings, on the output of each branch, and before "sentence" and "tokens".
      attention_dropout: on the attention weights.
      activation: of the MLPs and of the masked language model's head.
      norm_epsilon: what LayerNorm adds to the variance.
      scan: whether to compile one block and loop over the layers: see Encoder of models/encoder.py.
      remat: what the backward pass computes again: see Encoder.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    vocabulary: Size
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    heads: Size | None = None
    mlp_dim: Size | None = None
    head: Literal["sentence", "tokens", "words"] = "sentence"
    next_sentence: bool = False
    max_length: Size = 512
    types: Size = 2
    first_position: Annotated[int, Interval(ge=0, le=2**20)] = 0
    padding: NonNegativeInt = 0
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    activation: Activation = "gelu"
    norm_epsilon: PositiveFloat = 1e-12
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> variants.Sizes:
        """The sizes of the variant, each replaced where it is given."""
        fields = variants.sizes(self.variant, sizes.BERT, width=self.width, depth=self.depth, heads=self.heads)
        variants.split_by_heads(fields)
        return variants.Sizes(**fields | {"mlp_dim": self.mlp_dim or 4 * fields["width"]})

    def setup(self) -> None:
        """Names the parts that `lens` needs."""
        self.embedding = self._embed(self.vocabulary, "embedding")
        if self.head == "words" and self.outputs:
            self.words = self._dense(self.size.width, "words")
            self.words_norm = layer_norm(jnp.dtype(self.dtype), "words_norm", self.norm_epsilon)
            self.words_bias = self.param("words_bias", nn.initializers.zeros, (self.vocabulary,))

    @nn.compact
    def __call__(
        self,
        tokens: Int[AnyArray, "B T"],
        types: Int[AnyArray, "B T"] | None = None,
        *,
        segment: Int[AnyArray, "B T"] | None = None,
        place: Int[AnyArray, "B M"] | None = None,
        train: bool,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """The head's logits, float32: (B, C), (B, T, C), or (B, M, V) and with next_sentence (B, 2).

        Args:
          types: the segment of each token, less than `types`; None for the first.
          segment: of rows that hold several texts, the number 1, 2, ... of each token's text and 0 where there is
            nothing. Texts see only themselves, and positions begin anew with each.
          place: of "words", the tokens to predict; None for all T.

        Raises:
          UserError: more tokens than positions; next_sentence without the head "words", or a gate with it; or padding
            beyond the vocabulary.
        """
        if self.next_sentence and self.head != "words":
            raise UserError(f"config.model.next_sentence is for config.model.head=words, not {self.head!r}.")
        if self.head == "words" and self.activation not in ACTIVATIONS:
            raise UserError(
                f"config.model.activation={self.activation} is gated, and config.model.head=words has no gate: take "
                f"{', '.join(ACTIVATIONS)}."
            )
        if self.padding >= self.vocabulary:
            raise UserError(f"config.model.padding={self.padding} is none of the {self.vocabulary:,} tokens.")
        x = self._encode(self.embedding(tokens), tokens, types, segment, train)
        if self.head == "words" and self.outputs:
            pooled = self._pooled(x) if self.next_sentence else None
            logits = self.lens(x if place is None else jnp.take_along_axis(x, place[..., None], axis=1))
            return logits if pooled is None else (logits, self._dense(2, "following")(pooled).astype(jnp.float32))
        if self.head == "sentence":
            x = self._pooled(x)
            self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return self._dense(self.outputs, "head")(x).astype(jnp.float32)

    def lens(self, x: Float[Array, "B M D"]) -> Float32[Array, "B M V"]:
        """The logits that the head "words" makes of the residual stream after any layer: a dense layer, LayerNorm, and
        the transposed word embedding with a bias."""
        x = self.words_norm(ACTIVATIONS[self.activation](self.words(x)))
        return self.embedding.attend(x).astype(jnp.float32) + self.words_bias

    def _encode(
        self, x: jax.Array, tokens: AnyArray, types: AnyArray | None, segment: AnyArray | None, train: bool
    ) -> Float[Array, "B T D"]:
        """The encoder's output, from the embedded words x (B, T, D)."""
        size, length, dtype = self.size, tokens.shape[1], jnp.dtype(self.dtype)
        if length > self.max_length:
            raise UserError(
                f"a row of {length} tokens has no positions beyond config.model.max_length={self.max_length}: raise it "
                "before training, or lower config.data.max_length or config.data.length."
            )

        if segment is None:
            mask, position = as_mask(padding_mask(tokens != self.padding)), jnp.arange(length)[None]
        else:
            mask, position = segment_mask(segment, segment), positions_in_segments(segment)
        x += self._embed(self.max_length + self.first_position, "positions")(position + self.first_position)
        x += self._embed(self.types, "types")(jnp.zeros_like(tokens) if types is None else types)
        x = layer_norm(dtype, "embedding_norm", self.norm_epsilon)(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return Encoder(
            depth=size.depth,
            heads=size.heads,
            mlp_dim=size.mlp_dim,
            norm="post",
            norm_epsilon=self.norm_epsilon,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            activation=self.activation,
            initialisers=Initialisers(NORMAL, NORMAL, nn.initializers.zeros),
            scan=self.scan,
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
            name="encoder",
        )(x, mask, train=train)

    def _pooled(self, x: Float[Array, "B T D"]) -> Float[Array, "B D"]:
        """[CLS] through a dense layer and tanh."""
        return jnp.tanh(self._dense(x.shape[-1], "pooler")(x[:, 0]))

    def _embed(self, number: int, name: str) -> nn.Embed:
        return nn.Embed(number, self.size.width, embedding_init=NORMAL, dtype=jnp.dtype(self.dtype), name=name)

    def _dense(self, width: int, name: str) -> nn.Dense:
        return nn.Dense(width, kernel_init=NORMAL, dtype=jnp.dtype(self.dtype), name=name)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2}
