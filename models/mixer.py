"""MLP-Mixer (2105.01601): one MLP over the patches, one over the channels, and no attention.

B batch, N patches, D width, F MLP over the channels, C classes.
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from lookup import Depth, Size
from models import paths, sizes, variants
from models.arrays import AnyArray
from models.encoder import Activation, Mlp, Remat, constrain, layer_norm, rematerialised


@dataclass(frozen=True)
class Sizes:
    """D, the number of blocks, F, and the width of the MLP over the patches."""

    width: int
    depth: int
    mlp_dim: int
    token_mlp_dim: int


VARIANTS = {
    f"{name}/{patch}": row | {"patch": patch} for name, row in sizes.MIXER.items() for patch in sizes.MIXER_PATCHES
}


class Block(nn.Module):
    """y = x + MLP(LN(x)) over the patches of each channel, then y + MLP(LN(y)) over the channels of each patch.

    Attributes:
      mlp_dim, token_mlp_dim, activation, dtype: see Model.
    """

    mlp_dim: int
    token_mlp_dim: int
    activation: Activation
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], train: bool) -> Float[Array, "B N D"]:
        """Both mixings."""
        tokens = Mlp(self.token_mlp_dim, activation=self.activation, dtype=self.dtype, name="token_mlp")
        channels = Mlp(self.mlp_dim, activation=self.activation, dtype=self.dtype, name="mlp")
        y = layer_norm(self.dtype, "token_norm")(x).swapaxes(1, 2)
        x = x + tokens(y, train=train).swapaxes(1, 2)
        x = constrain(x + channels(layer_norm(self.dtype, "mlp_norm")(x), train=train))
        self.sow("probe", "output", x)
        return x


class Model(nn.Module):
    """Patches, blocks, their mean, one linear layer. The number of patches is part of the weights.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: a published size and a patch size, "B/16"; "" when width, depth, mlp_dim, token_mlp_dim and patch are all
        given.
      width: D; replaces the variant's.
      depth: the number of blocks; replaces the variant's.
      mlp_dim: F; replaces the variant's.
      token_mlp_dim: the width of the MLP over the patches; replaces the variant's.
      patch: the side of a patch in pixels; replaces the variant's.
      activation: of the MLPs.
      remat: what the backward pass computes again: see Encoder of models/encoder.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    mlp_dim: Size | None = None
    token_mlp_dim: Size | None = None
    patch: Size | None = None
    activation: Activation = "gelu"
    remat: Remat = "none"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> tuple[Sizes, int]:
        """The blocks' size and the patch size: the variant's, each replaced where it is given."""
        given = {key: getattr(self, key) for key in ("width", "depth", "mlp_dim", "token_mlp_dim", "patch")}
        fields = variants.sizes(self.variant, VARIANTS, **given)
        side = fields.pop("patch")
        return Sizes(**fields), side

    @nn.compact
    def __call__(self, image: Float[AnyArray, "B height width channels"], *, train: bool) -> Float32[Array, "B C"]:
        """The logits of the image.

        Raises:
          UserError: an image that does not divide into patches.
        """
        (size, patch), dtype = self.size, jnp.dtype(self.dtype)
        self.grid(image)
        x = nn.Conv(size.width, (patch, patch), strides=patch, padding="VALID", dtype=dtype, name="embedding")(image)
        x = x.reshape(x.shape[0], -1, size.width)
        block = rematerialised(Block, self.remat, static_argnums=(2,))
        for layer in range(size.depth):
            x = block(size.mlp_dim, size.token_mlp_dim, self.activation, dtype, name=paths.block(layer))(x, train)
        x = layer_norm(dtype, "norm")(x).mean(1)
        self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        head = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, dtype=dtype, name="head")
        return head(x).astype(jnp.float32)

    def grid(self, image: Float[AnyArray, "B height width channels"]) -> tuple[int, int]:
        """Rows and columns of an image's patches.

        Raises:
          UserError: an image that does not divide into patches.
        """
        return variants.patch_grid(image, self.size[1])


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "token_mlp_dim": 16, "patch": 4}
