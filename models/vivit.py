"""The Video Vision Transformer (2103.15691): a clip is a sentence of tubelets.

B batch, T places in time, N patches of a frame, D width, C classes.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32
from pydantic import PositiveFloat

from errors import UserError
from lookup import Depth, Rate, Size
from models import sizes, variants
from models.arrays import AnyArray
from models.encoder import Encoder, Remat
from models.kernel_choice import Kernel
from models.positions import AddPositions

VARIANTS = {
    f"{name}/{patch}x{frames}": row | {"patch": patch, "tubelet": frames}
    for name, row in sizes.VIT.items()
    for patch in sizes.VIT_PATCHES
    for frames in sizes.TUBELETS
}


class Model(nn.Module):
    """Tubelets, positions, one encoder over all of them or two after one another, head.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: a published size, patch size and frames of a tubelet, "B/16x2"; "" when all sizes are given.
      width: D; replaces the variant's.
      depth: layers; replaces the variant's.
      mlp_dim: F; replaces the variant's.
      heads: H; replaces the variant's.
      patch: the side of a tubelet in pixels; replaces the variant's.
      tubelet: frames of a tubelet; replaces the variant's.
      attention: "joint": all tubelets of the clip attend to one another (section 3.3, model 1); "factorised": those of
        one time attend to one another, and then the times (model 2).
      temporal_depth: layers of the second encoder of the factorised model.
      dropout: after every dense layer but query, key and value, and after the positions.
      stochastic_depth: the probability that a branch of the last layer is dropped.
      norm_epsilon: what LayerNorm adds to the variance.
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
    tubelet: Size | None = None
    attention: Literal["joint", "factorised"] = "joint"
    temporal_depth: Depth = 4
    dropout: Rate = 0.0
    stochastic_depth: Rate = 0.0
    norm_epsilon: PositiveFloat = 1e-6
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> dict[str, int]:
        """The variant's sizes, each replaced where it is given."""
        names = ("width", "depth", "mlp_dim", "heads", "patch", "tubelet")
        found = variants.sizes(self.variant, VARIANTS, **{name: getattr(self, name) for name in names})
        variants.split_by_heads(found)
        return found

    @nn.compact
    def __call__(
        self, clip: Float[AnyArray, "B frames height width channels"], *, train: bool
    ) -> Float32[Array, "B C"]:
        """The logits of the clip.

        Raises:
          UserError: a clip that does not divide into tubelets.
        """
        size, dtype = self.size, jnp.dtype(self.dtype)
        tubelet = (size["tubelet"], size["patch"], size["patch"])
        if any(whole % part for whole, part in zip(clip.shape[1:4], tubelet, strict=True)):
            raise UserError(
                f"a clip of {'x'.join(map(str, clip.shape[1:4]))} does not divide into tubelets of "
                f"{'x'.join(map(str, tubelet))}: change config.data.frames, image_size, config.model.tubelet or patch."
            )
        initial = nn.initializers.lecun_normal()
        embedding = nn.Conv(
            size["width"], tubelet, tubelet, "VALID", kernel_init=initial, dtype=dtype, name="embedding"
        )
        x = embedding(clip.astype(dtype))
        batch, times, rows, columns, width = x.shape
        if self.attention == "joint":
            x = self._whole(x.reshape(batch, -1, width), (times * rows, columns), "", size["depth"], train)
        else:
            x = self._whole(x.reshape(batch * times, -1, width), (rows, columns), "", size["depth"], train)
            x = self._whole(x.reshape(batch, times, width), (times, 1), "temporal_", self.temporal_depth, train)
        self.sow("probe", "representation", x)
        if self.outputs:
            zeros = nn.initializers.zeros
            x = nn.Dense(self.outputs, kernel_init=zeros, dtype=dtype, name="head")(x)
        return x.astype(jnp.float32)

    def _whole(
        self, x: Float[Array, "b N D"], grid: tuple[int, int], prefix: str, depth: int, train: bool
    ) -> Float[Array, "b D"]:
        """The class token after an encoder of its own. prefix: of its parameters."""
        size, dtype = self.size, jnp.dtype(self.dtype)
        token = self.param(f"{prefix}token", nn.initializers.zeros, (1, 1, size["width"])).astype(dtype)
        x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        x = AddPositions("learned", name=f"{prefix}positions")(x, grid)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        encoder = Encoder(
            depth=depth,
            heads=size["heads"],
            mlp_dim=size["mlp_dim"],
            dropout=self.dropout,
            mlp_dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            norm_epsilon=self.norm_epsilon,
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
            name=f"{prefix}encoder",
        )
        return encoder(x, train=train)[:, 0]


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    sizes = {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2, "patch": 8, "tubelet": 2}
    return sizes | {"temporal_depth": 1}
