"""GPT: a decoder-only Transformer that predicts the next token (GPT-2, Radford et al., 2019; nanoGPT), and by its keys
the changes of later models.

B batch, T tokens, D width, H heads, V vocabulary, K beams, P prompt tokens, L the longest continuation.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from errors import UserError
from lookup import Depth, Rate, Size
from models import sizes, variants
from models.arrays import AnyArray
from models.attention import Initialisers, Options
from models.decoder import Cache, Decoder, follow
from models.encoder import GATES, Activation, Norm, NormKind, Remat
from models.kernel_choice import Kernel
from models.kernels import capped
from models.masks import causal_mask, segment_mask
from models.positions import positions_in_segments

DEVIATION = 0.02  # of every matrix at the beginning


class Model(nn.Module):
    """Token and position embeddings, pre-LN blocks of causal self-attention and MLP, LayerNorm, and the transposed
    token embedding as the output layer.

    Initialisation, as GPT-2's: matrices and embeddings N(0, 0.02²), biases 0; the last matrix of each branch
    N(0, (0.02 / √(2·depth))²), so that the residual stream's variance does not grow with the depth.

    Attributes:
      outputs: V.
      variant: "small", "medium", "large" or "XL" of GPT-2; "" when width, depth and heads are all given.
      width: D; replaces the variant's.
      depth: the number of layers; replaces the variant's.
      heads: H; replaces the variant's.
      mlp_dim: F; 4 D when None, or 8/3 D of gated MLPs, whose three matrices then have as many parameters (2002.05202).
      positions: "learned" | "rotary" (2104.09864): queries and keys are turned by angles that grow with the position |
        "alibi" (2108.12409): scores fall with the distance | "none".
      rotary_base: of rotary positions' frequencies.
      max_length: the number of learned positions, and so the most tokens of a row, or of a prompt and its continuation.
        The others have no such end: there it is the length that the model is trained on.
      kv_heads: heads of keys and values (2305.13245), a divisor of H, which is all that decoding keeps; H when None.
      qk_norm: whether queries and keys are normalised: see Options of models/attention.py.
      window: how many tokens one sees at most, itself the last of them (2004.05150); 0 for all before it.
      attention_cap: soft cap of attention's scores: see Options; 0 for none. Gemma 2 has 50.
      output_cap: soft cap of the logits, likewise. Gemma 2 has 30.
      norm: "pre" as GPT-2, "post" as GPT-1, or "none": see Block of models/encoder.py.
      norm_kind: "layer", or "rms" for RMSNorm in LayerNorm's place (1910.07467).
      use_bias: whether linear layers and LayerNorm have biases. GPT-2 has them; nanoGPT's small models have none.
      dropout: on embeddings, on attention weights and on the output of each branch.
      activation: of the MLPs. GPT-2 has "gelu_tanh", nanoGPT "gelu", LLaMA the gated "swiglu".
      norm_epsilon: what LayerNorm adds to the variance, or RMSNorm to the mean square.
      remat: what the backward pass computes again: see Encoder of models/encoder.py.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    heads: Size | None = None
    mlp_dim: Size | None = None
    positions: Literal["learned", "rotary", "alibi", "none"] = "learned"
    rotary_base: PositiveFloat = 10_000.0
    max_length: Size = 1024
    kv_heads: Size | None = None
    qk_norm: bool = False
    window: NonNegativeInt = 0
    attention_cap: NonNegativeFloat = 0.0
    output_cap: NonNegativeFloat = 0.0
    norm: Norm = "pre"
    norm_kind: NormKind = "layer"
    use_bias: bool = True
    dropout: Rate = 0.1
    activation: Activation = "gelu_tanh"
    norm_epsilon: PositiveFloat = 1e-5
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> variants.Sizes:
        """The sizes of the variant, each replaced where it is given."""
        fields = variants.sizes(self.variant, sizes.GPT, width=self.width, depth=self.depth, heads=self.heads)
        variants.split_by_heads(fields)
        mlp_dim = fields["width"] * 8 // 3 if self.activation in GATES else 4 * fields["width"]
        return variants.Sizes(**fields | {"mlp_dim": self.mlp_dim or mlp_dim})

    def setup(self) -> None:
        """Names the parts."""
        size, dtype = self.size, jnp.dtype(self.dtype)
        normal = nn.initializers.normal(DEVIATION)
        residual = nn.initializers.normal(DEVIATION / (2 * size.depth) ** 0.5)
        self.embedding = nn.Embed(self.outputs, size.width, embedding_init=normal, dtype=dtype)
        if self.positions == "learned":
            self.position_embedding = nn.Embed(
                self.max_length, size.width, embedding_init=normal, dtype=dtype, name="positions"
            )
        self.decoder = Decoder(
            size.width,
            size.depth,
            size.heads,
            size.mlp_dim,
            cross=False,
            norm=self.norm,
            norm_kind=self.norm_kind,
            norm_epsilon=self.norm_epsilon,
            dropout=self.dropout,
            attention_dropout=self.dropout,
            activation=self.activation,
            use_bias=self.use_bias,
            initialisers=Initialisers(kernel=normal, residual=residual, bias=nn.initializers.zeros),
            options=Options(
                kv_heads=self.kv_heads,
                distances="none" if self.positions == "learned" else self.positions,
                rotary_base=self.rotary_base,
                qk_norm=self.qk_norm,
                cap=self.attention_cap,
            ),
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
        )
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self, tokens: Int[AnyArray, "B T"], segment: Int[AnyArray, "B T"] | None = None, *, train: bool
    ) -> Float32[Array, "B T V"]:
        """The logits of the next token at every place. A token sees itself and those before it.

        Args:
          segment: of rows that hold several documents, the number 1, 2, ... of each token's document and 0 where there
            is nothing. Documents see only themselves, and positions begin anew with each.

        Raises:
          UserError: more tokens than learned positions.
        """
        length = tokens.shape[1]
        self._check(length, f"a row of {length} tokens (config.data.length)")
        mask = causal_mask(self.window if self.window < length else 0)  # a wider one hides nothing
        position = jnp.arange(length)[None]
        if segment is not None:
            mask, position = mask & segment_mask(segment, segment), positions_in_segments(segment)
        x = self.drop(self._embed(tokens, position), deterministic=not train)
        return self._logits(self.decoder(x, None, mask, None, position=position, train=train))

    def context(self) -> int | None:
        """How many tokens the model sees at most; None where its positions have no end."""
        return self.max_length if self.positions == "learned" else None

    @nn.nowrap
    def beyond(self, tokens: int) -> str:
        """What becomes of so many tokens, a prompt and its continuation, where the model was trained on fewer; "" where
        it was not."""
        if tokens <= self.max_length:
            return ""
        if self.positions == "learned":
            return (
                f"the prompt and its continuation are more than the {self.max_length} positions that the model has "
                f"learned: it goes on from only the end of the text, at least its last {self.max_length // 2} tokens."
            )
        line = (
            f"the text grows beyond the {self.max_length} tokens that the model was trained on, which it can "
            f"(config.model.positions={self.positions}), but may write worse there"
        )
        if self.positions != "rotary" or 0 < self.window <= self.max_length:
            return f"{line}."
        return f"{line}; with --config.model.window={self.max_length} each token sees only the last {self.max_length}."

    def start(self, tokens: Int[AnyArray, "B P"], *, beams: int, length: int) -> Cache:
        """The cache that `step` begins with: it holds the prompts.

        The first `step` continues the last token of each prompt, whatever token it is given; where the prompt is
        empty, from that token (BOS).

        Args:
          tokens: the prompts, each padded at its end with negative ids.
          beams: K, continuations of each prompt.
          length: L, the most calls of `step`.

        Raises:
          UserError: a prompt and its continuation need more learned positions than there are.
        """
        batch, longest = tokens.shape
        self._check(longest + length, f"a prompt of {longest} tokens and a continuation of {length}")
        real = tokens >= 0
        last = jnp.maximum(real.sum(1) - 1, 0)  # where the last token of each prompt stands
        x = self._embed(tokens, jnp.arange(longest)[None])
        return {
            "layers": self.decoder.prefill(x, causal_mask(self.window), length * beams),
            # The first step computes the last token again, for the logits after it.
            "prompt": (jnp.arange(longest) < last[:, None])[:, None, None],
            "position": last,
            "last": jnp.take_along_axis(jnp.where(real, tokens, -1), last[:, None], axis=1),
            "index": jnp.zeros((), jnp.int32),
            "writer": jnp.zeros((batch, beams, length), jnp.int32),
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
        index, last, beams = cache["index"], cache["last"], tokens.shape[1]
        tokens = jnp.where((index == 0) & (last >= 0), last, tokens)
        writer, written = follow(cache["writer"], parents, index)
        prompt = jnp.broadcast_to(cache["prompt"], (*written.shape[:3], cache["prompt"].shape[3]))
        mask = jnp.concatenate([prompt, written], axis=3)
        longest, first = prompt.shape[3], cache["position"][:, None]
        position = first + index
        if self.window:
            places = jnp.arange(mask.shape[3])[None]
            kept = jnp.where(places < longest, places, first + (places - longest) // beams)  # positions of kept tokens
            mask &= (position - kept < self.window)[:, None, None]
        x = self._embed(tokens, position)
        x, layers = self.decoder.step(x, cache["layers"], longest + index * beams, mask, None, position=position)
        return self._logits(x), cache | {"layers": layers, "index": index + 1, "writer": writer}

    def lens(self, x: Float[Array, "B T D"]) -> Float32[Array, "B T V"]:
        """The logits that the output layer makes of the decoder's residual stream after any of its layers."""
        return self._logits(self.decoder.normalised(x))

    def _check(self, tokens: int, what: str) -> None:
        if self.positions == "learned" and tokens > self.max_length:
            raise UserError(
                f"{what} has no positions beyond config.model.max_length={self.max_length}: raise it before "
                "training, or take fewer tokens."
            )

    def _embed(self, tokens: AnyArray, position: jax.Array) -> jax.Array:
        x = self.embedding(jnp.maximum(tokens, 0))
        return x + self.position_embedding(position) if self.positions == "learned" else x

    def _logits(self, x: jax.Array) -> jax.Array:
        return capped(self.embedding.attend(x).astype(jnp.float32), self.output_cap)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2}
