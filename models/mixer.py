"""MLP-Mixer (2105.01601): one MLP over the patches, one over the channels, and no attention.

B batch, N patches, D width, C classes.
"""

from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from errors import UserError
from models import paths, sizes, variants
from models.encoder import Activation, Mlp, Remat, layer_norm, rematerialised


@dataclass(frozen=True)
class Size:
    width: int
    depth: int
    mlp_dim: int
    token_mlp_dim: int


VARIANTS = {
    f"{name}/{patch}": row | {"patch": patch} for name, row in sizes.MIXER.items() for patch in sizes.MIXER_PATCHES
}


class Block(nn.Module):
    """x + the MLP over its patches, then + the MLP over its channels, each of what LayerNorm gives."""

    mlp_dim: int
    token_mlp_dim: int
    activation: Activation
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """(B, N, D) -> (B, N, D)."""
        tokens = Mlp(self.token_mlp_dim, activation=self.activation, dtype=self.dtype, name="token_mlp")
        channels = Mlp(self.mlp_dim, activation=self.activation, dtype=self.dtype, name="mlp")
        y = layer_norm(self.dtype, "token_norm")(x).swapaxes(1, 2)
        x = x + tokens(y, train=train).swapaxes(1, 2)
        x = x + channels(layer_norm(self.dtype, "mlp_norm")(x), train=train)
        self.sow("probe", "output", x)
        return x


class Model(nn.Module):
    """Patches, blocks, their mean, one linear layer. The number of patches is part of the weights.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: a row of SIZES and a patch size, "B/16"; "" when width, depth, mlp_dim, token_mlp_dim and patch are all
        given, which otherwise replace the variant's.
      activation, remat: see models/encoder.py. dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    variant: str = ""
    width: int | None = None
    depth: int | None = None
    mlp_dim: int | None = None
    token_mlp_dim: int | None = None
    patch: int | None = None
    activation: Activation = "gelu"
    remat: Remat = "none"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> tuple[Size, int]:
        """The blocks' size and the patch size: the variant's, each replaced where it is given by itself."""
        given = {key: getattr(self, key) for key in ("width", "depth", "mlp_dim", "token_mlp_dim", "patch")}
        fields = variants.sizes(self.variant, VARIANTS, **given)
        side = fields.pop("patch")
        return Size(**fields), side

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        """image: (B, height, width, channels), which divides by the patch. Returns float32 logits (B, C)."""
        (size, patch), dtype = self.size, jnp.dtype(self.dtype)
        if image.shape[1] % patch or image.shape[2] % patch:
            raise UserError(
                f"an image of {image.shape[1]}x{image.shape[2]} does not divide into patches of {patch}: "
                "change config.data.image_size or config.model.patch."
            )
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
