"""The two towers of CLIP and SigLIP: see models/clip.py.

B images, N texts, T tokens, D width of the images' tower, W of the texts', V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from errors import UserError
from models import resnet
from models.arrays import AnyArray
from models.attention import Initialisers
from models.encoder import Activation, Encoder, Remat, layer_norm
from models.kernel_choice import Kernel
from models.masks import causal_mask
from models.positions import AddPositions
from models.tokens import EOS
from models.vit import AttentionPooling, Stem

Form = Literal["clip", "siglip"]


@dataclass(frozen=True)
class Blocks:
    """The blocks of a tower: see Model."""

    width: int
    depth: int
    mlp_dim: int
    heads: int
    dropout: float
    stochastic_depth: float
    activation: Activation
    norm_epsilon: float
    scan: bool
    remat: Remat
    kernel: Kernel
    dtype: str

    def encoder(self) -> Encoder:
        """The blocks and the last LayerNorm, with CLIP's initialisation (section 2.4 and its code)."""
        width, deep = self.width, (2 * self.depth) ** -0.5

        def kernel(
            key: jax.Array, shape: Sequence[int], dtype: DTypeLike | None = None, out_sharding: object = None
        ) -> jax.Array:
            """Of attention, whose matrices are square, and of the first layer of the MLP."""
            del out_sharding
            deviation = width**-0.5 if shape[1] == width else (2 * width) ** -0.5
            return deviation * jax.random.normal(key, tuple(shape), dtype or jnp.float32)

        residual = nn.initializers.normal(width**-0.5 * deep)
        return Encoder(
            depth=self.depth,
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            norm_epsilon=self.norm_epsilon,
            dropout=self.dropout,
            mlp_dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            activation=self.activation,
            initialisers=Initialisers(kernel, residual, nn.initializers.zeros),
            scan=self.scan,
            remat=self.remat,
            kernel=self.kernel,
            dtype=jnp.dtype(self.dtype),
            name="encoder",
        )


class ImageTower(nn.Module):
    """A ViT as CLIP or SigLIP has it.

    Attributes:
      blocks: its blocks.
      patch: the side of a patch in pixels, or in places of the stem's features.
      form, stem, stem_depths, stem_width: see Model.
    """

    blocks: Blocks
    patch: int
    form: Form
    stem: Stem
    stem_depths: tuple[int, ...]
    stem_width: int

    @nn.compact
    def __call__(
        self, image: Float[AnyArray, "B height width channels"], grid: tuple[int, int], *, train: bool
    ) -> Float[Array, "B D"]:
        """The class token's or the pooled output. grid: rows and columns of the patches."""
        blocks, dtype, clip = self.blocks, jnp.dtype(self.blocks.dtype), self.form == "clip"
        if self.stem != "none":
            stem = resnet.Trunk(self.stem_depths, self.stem_width, self.stem, "post", blocks.remat, dtype, name="stem")
            image = stem(image)
        x = nn.Conv(
            blocks.width,
            (self.patch, self.patch),
            strides=self.patch,
            padding="VALID",
            use_bias=not clip,
            kernel_init=nn.initializers.lecun_normal(),
            dtype=dtype,
            name="embedding",
        )(image.astype(dtype))
        x = x.reshape(x.shape[0], -1, blocks.width)
        if clip:
            token = self.param("token", nn.initializers.normal(blocks.width**-0.5), (1, 1, blocks.width))
            x = jnp.concatenate([jnp.tile(token.astype(dtype), (x.shape[0], 1, 1)), x], axis=1)
        x = AddPositions("learned", name="positions")(x, grid)
        if clip:
            x = layer_norm(dtype, "embedding_norm", blocks.norm_epsilon)(x)
        x = nn.Dropout(blocks.dropout, deterministic=not train)(x)
        x = blocks.encoder()(x, train=train)
        if clip:
            return x[:, 0]
        return AttentionPooling(
            *(blocks.heads, blocks.mlp_dim, blocks.dropout, blocks.activation, dtype, blocks.norm_epsilon),
            kernel=blocks.kernel,
            name="pooling",
        )(x, train=train)


class TextTower(nn.Module):
    """A Transformer over the tokens of texts.

    Attributes:
      blocks: its blocks.
      vocabulary: V.
      max_length: positions.
      form: see Model.
    """

    blocks: Blocks
    vocabulary: int
    max_length: int
    form: Form

    @nn.compact
    def __call__(self, tokens: Int[AnyArray, "N T"], *, train: bool) -> Float[Array, "N W"]:
        """The output at the end of each text: at its first EOS, or at the row's last place.

        Raises:
          UserError: more tokens than positions or, of SigLIP, fewer.
        """
        blocks, dtype, length = self.blocks, jnp.dtype(self.blocks.dtype), tokens.shape[1]
        if length > self.max_length:
            raise UserError(
                f"a text of {length} tokens has no positions beyond config.model.max_length={self.max_length}: raise "
                "it before training, or lower config.data.max_length."
            )
        if self.form == "siglip" and length < self.max_length:  # a text would be read at a place that was never its end
            raise UserError(
                f"SigLIP reads a text at the last of its {self.max_length} places, and a row has {length}: set "
                f"--config.data.max_length={self.max_length}, or train a model with --config.model.max_length={length}"
            )
        embed = nn.Embed(
            self.vocabulary, blocks.width, embedding_init=nn.initializers.normal(0.02), dtype=dtype, name="embedding"
        )
        positions = self.param("positions", nn.initializers.normal(0.01), (self.max_length, blocks.width))
        x = embed(tokens) + positions[:length].astype(dtype)
        x = nn.Dropout(blocks.dropout, deterministic=not train)(x)
        x = blocks.encoder()(x, causal_mask() if self.form == "clip" else None, train=train)
        if self.form == "siglip":
            return x[:, -1]
        return jnp.take_along_axis(x, jnp.argmax(tokens == EOS, axis=1)[:, None, None], axis=1)[:, 0]
