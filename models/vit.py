"""The Vision Transformer (2010.11929): an image is a sentence of patches.

B batch, N tokens, D width, C classes.
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from errors import UserError, nearest
from models.attention import Kernel, MultiHeadAttention
from models.encoder import Activation, Encoder, Mlp, Remat, layer_norm
from models.positions import AddPositions, Kind


@dataclass(frozen=True)
class Size:
    width: int
    depth: int
    mlp_dim: int
    heads: int


# Table 1 of the paper; Ti and S are DeiT's (2012.12877), as the authors published them later (2106.10270).
SIZES = {
    "Ti": Size(192, 12, 768, 3),
    "S": Size(384, 12, 1536, 6),
    "B": Size(768, 12, 3072, 12),
    "L": Size(1024, 24, 4096, 16),
    "H": Size(1280, 32, 5120, 16),
}
PATCHES = (8, 14, 16, 32)
VARIANTS = tuple(f"{size}/{patch}" for size in SIZES for patch in PATCHES)


class Model(nn.Module):
    """Patches, positions, encoder, head.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: a row of SIZES and a patch size, "B/16"; "" when width, depth, mlp_dim, heads and patch are all given,
        which otherwise replace the variant's.
      head: what is classified: "token" (a class token, the paper's) | "gap" (the tokens' mean) | "map" (attention
        pooling by one learned query, 2106.04560).
      representation: whether a tanh layer of width D stands before the last one (pre-training, section 3.1).
      positions: see AddPositions.
      dropout: after every dense layer but query, key and value, and after the positions (Table 3).
      stochastic_depth, scan, remat, norm_epsilon: see Encoder. activation: of the MLPs.
      kernel: see dot_product_attention. dtype: of the computation ("bfloat16"); parameters and logits are float32.
    """

    outputs: int
    variant: str = ""
    width: int | None = None
    depth: int | None = None
    mlp_dim: int | None = None
    heads: int | None = None
    patch: int | None = None
    head: Literal["token", "gap", "map"] = "token"
    representation: bool = False
    positions: Kind = "learned"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    stochastic_depth: float = 0.0
    activation: Activation = "gelu"
    norm_epsilon: float = 1e-6
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "xla"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> tuple[Size, int]:
        """The encoder's size and the patch size: the variant's, each replaced where it is given by itself."""
        if self.variant and self.variant not in VARIANTS:
            raise UserError(f"config.model.variant={self.variant!r} does not exist: {nearest(self.variant, VARIANTS)}")
        name, _, patch = self.variant.partition("/")
        fields: dict[str, int] = vars(SIZES[name]) | {"patch": int(patch)} if self.variant else {}
        given = {key: getattr(self, key) for key in ("width", "depth", "mlp_dim", "heads", "patch")}
        fields |= {key: value for key, value in given.items() if value is not None}
        if missing := given.keys() - fields.keys():
            raise UserError(f"config.model.{min(missing)} is not set: set it, or config.model.variant.")
        if wrong := [key for key, value in fields.items() if value < 1]:
            raise UserError(f"config.model.{wrong[0]}={fields[wrong[0]]} must be positive.")
        if fields["width"] % fields["heads"]:
            raise UserError(f"config.model.width={fields['width']} does not divide by heads={fields['heads']}.")
        side = fields.pop("patch")
        return Size(**fields), side

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """image: (B, height, width, channels), any size that divides by the patch. Returns float32 logits (B, C)."""
        size, patch = self.size
        dtype = jnp.dtype(self.dtype)
        if image.shape[1] % patch or image.shape[2] % patch:
            raise UserError(
                f"an image of {image.shape[1]}x{image.shape[2]} does not divide into patches of {patch}: "
                "change config.data.image_size or config.model.patch."
            )
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
        grid = (x.shape[1], x.shape[2])
        x = x.reshape(x.shape[0], -1, size.width)
        if self.head == "token":
            token = self.param("token", nn.initializers.zeros, (1, 1, size.width)).astype(dtype)
            x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        x = AddPositions(self.positions, name="positions")(x, grid)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = Encoder(
            depth=size.depth,
            heads=size.heads,
            mlp_dim=size.mlp_dim,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            mlp_dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            scan=self.scan,
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
            name="encoder",
        )(x, train=train)

        if self.head == "token":
            x = x[:, 0]
        elif self.head == "gap":
            x = x.mean(axis=1)
        else:
            pooling = AttentionPooling(size.heads, size.mlp_dim, self.dropout, self.activation, dtype, name="pooling")
            x = pooling(x, train=train)
        if self.representation:
            x = jnp.tanh(nn.Dense(size.width, dtype=dtype, name="pre_logits")(x))
        self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        head = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, dtype=dtype, name="head")
        return head(x).astype(jnp.float32)


class AttentionPooling(nn.Module):
    """MAP head (2106.04560): one learned query attends to all tokens, then a residual MLP."""

    heads: int
    mlp_dim: int
    dropout: float
    activation: Activation
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, N, D) -> (B, D)."""
        query = self.param("query", nn.initializers.xavier_uniform(), (1, 1, x.shape[-1])).astype(self.dtype)
        query = jnp.tile(query, (x.shape[0], 1, 1))
        x = MultiHeadAttention(x.shape[-1], self.heads, dtype=self.dtype, name="attention")(query, x, train=train)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        y = layer_norm(self.dtype, "norm")(x)
        y = Mlp(self.mlp_dim, self.dropout, self.activation, self.dtype, name="mlp")(y, train=train)
        return (x + nn.Dropout(self.dropout, deterministic=not train)(y))[:, 0]
