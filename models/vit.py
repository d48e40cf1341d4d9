"""The Vision Transformer (2010.11929): an image is a sentence of patches.

B batch, N tokens, D width, F MLP, H heads, C classes.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from annotated_types import Interval
from jaxtyping import Array, Float, Float32
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from lookup import Depth, Rate, Size
from models import resnet, sizes, variants
from models.arrays import AnyArray
from models.attention import MultiHeadAttention, Options
from models.encoder import Activation, Encoder, Mlp, Remat, layer_norm
from models.kernel_choice import Kernel
from models.positions import AddPositions, Kind

# Learned tokens before the patches, for each head.
TOKENS = {"token": ("token",), "distilled": ("token", "distillation_token"), "gap": (), "map": ()}
Stem = Literal["none", "imagenet", "cifar"]
VARIANTS = {
    f"{name}/{patch}": row | {"patch": patch} for name, row in sizes.VIT.items() for patch in sizes.VIT_PATCHES
} | {name: sizes.VIT[size] | {"patch": patch} for name, (_, patch, size) in sizes.HYBRIDS.items()}


class Model(nn.Module):
    """Patches, positions, encoder, head.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: a published size and a patch size, "B/16", or a hybrid, "R50+B/16"; "" when width, depth, mlp_dim, heads
        and patch are all given.
      width: D; replaces the variant's.
      depth: the number of layers; replaces the variant's.
      mlp_dim: F; replaces the variant's.
      heads: H; replaces the variant's.
      patch: the side of a patch in pixels, or in places of the stem's features; replaces the variant's.
      stem: the root of a ResNet before the patches, which are then patches of its features: "imagenet" or "cifar" (see
        models/resnet.py, order="post"). A hybrid variant has one whatever stands here.
      stem_depths: the number of units in each stage of the stem.
      stem_width: of the stem's root and first bottleneck.
      head: what is classified: "token" (a class token, the paper's) | "gap" (the tokens' mean) | "map" (attention
        pooling by one learned query, 2106.04560) | "distilled" (a class token and one that learns from a teacher, each
        with its own head, 2012.12877: for config.task.name=distill).
      representation: whether there is a tanh layer of width D before the last one (pre-training, section 3.1).
      registers: learned tokens without positions after those, which no head reads (2309.16588).
      positions: see AddPositions of models/positions.py.
      position_grid: rows and columns that learned positions are for, whatever the image's size: others have them
        interpolated; None for those of the images.
      rotary_base: of rotary positions.
      key_bias: whether keys have a bias, as queries and values do.
      layer_scale: what the learned factors of the branches begin with; 0 for none: see Block of models/encoder.py.
      dropout: after every dense layer but query, key and value, and after the positions (Table 3).
      attention_dropout: on the attention weights.
      stochastic_depth: the probability that a branch of the last layer is dropped: see Encoder of models/encoder.py.
      activation: of the MLPs.
      norm_epsilon: what LayerNorm adds to the variance.
      scan: whether to compile one block and loop over the layers: see Encoder.
      remat: what the backward pass computes again: see Encoder.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    mlp_dim: Size | None = None
    heads: Size | None = None
    patch: Size | None = None
    stem: Stem = "none"
    stem_depths: tuple[PositiveInt, ...] = ()
    stem_width: Size = sizes.RESNET_WIDTH
    head: Literal["token", "gap", "map", "distilled"] = "token"
    representation: bool = False
    registers: Annotated[int, Interval(ge=0, le=1024)] = 0
    positions: Kind = "learned"
    position_grid: tuple[PositiveInt, PositiveInt] | None = None
    rotary_base: PositiveFloat = 100.0
    key_bias: bool = True
    layer_scale: NonNegativeFloat = 0.0
    dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    stochastic_depth: Rate = 0.0
    activation: Activation = "gelu"
    norm_epsilon: PositiveFloat = 1e-6
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> tuple[variants.Sizes, int]:
        """The encoder's size and the patch size: the variant's, each replaced where it is given."""
        given = {key: getattr(self, key) for key in ("width", "depth", "mlp_dim", "heads", "patch")}
        fields = variants.sizes(self.variant, VARIANTS, **given)
        variants.split_by_heads(fields)
        side = fields.pop("patch")
        return variants.Sizes(**fields), side

    @property
    def extra(self) -> int:
        """How many tokens come before the patches."""
        return len(TOKENS[self.head]) + self.registers

    @property
    def _stem(self) -> tuple[Stem, tuple[int, ...]]:
        """Root and depths of the ResNet before the patches."""
        if self.variant in sizes.HYBRIDS:
            return "imagenet", sizes.HYBRIDS[self.variant][0]
        return self.stem, tuple(self.stem_depths)

    @nn.compact
    def __call__(self, image: Float[AnyArray, "B height width channels"], *, train: bool) -> Float32[Array, "B ... C"]:
        """The logits of the image: (B, C); while a model with head="distilled" trains (B, 2, C), the class token's and
        the distillation token's.

        Args:
          image: of any size that divides by the patch.

        Raises:
          UserError: a size that does not.
        """
        x = self.represent(image, train)
        if not self.outputs:
            return x.astype(jnp.float32)
        if self.head != "distilled":
            return self.classify(x, "head")
        x = jnp.stack([self.classify(x[:, 0], "head"), self.classify(x[:, 1], "distillation_head")], axis=1)
        return x if train else x.mean(1)

    def classify(self, x: Float[Array, "B D"], name: str) -> Float32[Array, "B C"]:
        """The logits of a representation, by the head of this name."""
        head = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, dtype=jnp.dtype(self.dtype), name=name)
        return head(x).astype(jnp.float32)

    # The following are called from a compact method, of this class or of one that learns from masked images.

    def represent(self, image: Float[AnyArray, "B height width channels"], train: bool) -> Float[Array, "B ... D"]:
        """What a head classifies: (B, D); (B, 2, D) with two tokens."""
        size, dtype = self.size[0], jnp.dtype(self.dtype)
        x = self.encode(self.embed(image, train), train, self.grid(image))
        if self.head == "token":
            x = x[:, 0]
        elif self.head == "distilled":
            x = x[:, :2]
        elif self.head == "gap":
            x = x[:, self.extra :].mean(axis=1)
        else:
            pooling = AttentionPooling(
                *(size.heads, size.mlp_dim, self.dropout, self.activation, dtype), kernel=self.kernel, name="pooling"
            )
            x = pooling(x, train=train)
        if self.representation:
            x = jnp.tanh(nn.Dense(size.width, dtype=dtype, name="pre_logits")(x))
        self.sow("probe", "representation", x)
        return x

    def embed(
        self,
        image: Float[AnyArray, "B height width channels"],
        train: bool,
        corrupt: Callable[[jax.Array], jax.Array] = lambda x: x,
    ) -> Float[Array, "B N D"]:
        """Tokens with positions: first those before the patches (equation 1: the class token), then the patches.

        Args:
          corrupt: what happens to the patches (B, N, D) before.
        """
        (size, patch), dtype = self.size, jnp.dtype(self.dtype)
        grid, (root, depths) = self.grid(image), self._stem
        if root != "none":
            image = resnet.Trunk(depths, self.stem_width, root, "post", self.remat, dtype, name="stem")(image)
        # Equation 1: a convolution whose stride is its size is a linear map of each patch.
        x = nn.Conv(
            size.width,
            (patch, patch),
            strides=patch,
            padding="VALID",
            kernel_init=nn.initializers.lecun_normal(),
            dtype=dtype,
            name="embedding",
        )(image.astype(dtype))
        x = corrupt(x.reshape(x.shape[0], -1, size.width))
        for name in reversed(TOKENS[self.head]):
            token = self.param(name, nn.initializers.zeros, (1, 1, size.width)).astype(dtype)
            x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        own = tuple(self.position_grid) if self.position_grid else None
        # As published: with registers, positions are interpolated by another filter.
        x = AddPositions(self.positions, own, self.registers > 0, name="positions")(x, grid)  # type: ignore[arg-type]
        if self.registers:
            registers = self.param("registers", nn.initializers.normal(0.02), (1, self.registers, size.width))
            first = len(TOKENS[self.head])
            registers = jnp.tile(registers.astype(dtype), (x.shape[0], 1, 1))
            x = jnp.concatenate([x[:, :first], registers, x[:, first:]], axis=1)
        return nn.Dropout(self.dropout, deterministic=not train)(x)

    def grid(self, image: Float[AnyArray, "B height width channels"]) -> tuple[int, int]:
        """Rows and columns of an image's patches.

        Raises:
          UserError: an image that does not divide into patches, or has too many.
        """
        side, (root, depths) = self.size[1], self._stem
        if root != "none":
            side *= resnet.stride(root, depths)
        return variants.patch_grid(image, side)

    def encode(self, x: Float[Array, "B N D"], train: bool, grid: tuple[int, int] | None) -> Float[Array, "B N D"]:
        """The encoder's output, normalised.

        Args:
          grid: rows and columns of the patches, the last of the N tokens; None if some are left out.
        """
        size = self.size[0]
        encoder = Encoder(
            depth=size.depth,
            heads=size.heads,
            mlp_dim=size.mlp_dim,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            mlp_dropout=self.dropout,
            grid=grid if self.positions in ("relative", "rotary") else None,
            stochastic_depth=self.stochastic_depth,
            layer_scale=self.layer_scale,
            options=Options(
                distances="axial" if self.positions == "rotary" else "none",
                rotary_base=self.rotary_base,
                key_bias=self.key_bias,
            ),
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            scan=self.scan,
            remat=self.remat,
            kernel=self.kernel,
            dtype=jnp.dtype(self.dtype),
            name="encoder",
        )
        return encoder(x, train=train)


class AttentionPooling(nn.Module):
    """MAP head (2106.04560): one learned query attends to all tokens, then a residual MLP.

    Attributes:
      heads, mlp_dim, dropout, activation, dtype, norm_epsilon, kernel: see Model.
    """

    heads: int
    mlp_dim: int
    dropout: float
    activation: Activation
    dtype: jnp.dtype
    norm_epsilon: float = 1e-6
    kernel: Kernel = "auto"

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], *, train: bool) -> Float[Array, "B D"]:
        """The pooled tokens."""
        query = self.param("query", nn.initializers.xavier_uniform(), (1, 1, x.shape[-1])).astype(self.dtype)
        query = jnp.tile(query, (x.shape[0], 1, 1))
        attention = MultiHeadAttention(x.shape[-1], self.heads, kernel=self.kernel, dtype=self.dtype, name="attention")
        x = attention(query, x, train=train)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        y = layer_norm(self.dtype, "norm", self.norm_epsilon)(x)
        y = Mlp(self.mlp_dim, self.dropout, self.activation, self.dtype, name="mlp")(y, train=train)
        return (x + nn.Dropout(self.dropout, deterministic=not train)(y))[:, 0]


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    stem = "+" in section.get("variant", "") or section.get("stem", "none") != "none"
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2, "patch": 1 if stem else 4}
