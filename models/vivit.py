"""The Video Vision Transformer (2103.15691): a clip is a sentence of tubelets.

B batch, V views of a video, T places in time, N patches of a frame, D width, C classes.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32
from pydantic import PositiveFloat

from errors import UserError
from lookup import Depth, Rate, Size
from models import sizes, variants
from models.arrays import AnyArray
from models.attention import Options
from models.encoder import Activation, Encoder, Remat, layer_norm
from models.kernel_choice import Kernel
from models.positions import AddPositions, Kind
from models.views import averaged

VARIANTS = {
    f"{name}/{patch}x{frames}": row | {"patch": patch, "tubelet": frames}
    for name, row in sizes.VIT.items()
    for patch in sizes.VIT_PATCHES
    for frames in sizes.TUBELETS
}


class Model(nn.Module):
    """Tubelets, positions, one encoder over all of them or two after one another, head.

    With head="gap", positions="sinusoid_1d" and key_bias=False it is the classifier of VideoMAE (2203.12602).

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
      head: what an encoder ends in: "token" (LayerNorm, and the class token) | "gap" (the tokens' mean, and LayerNorm).
      positions: of all tubelets, row by row and frame by frame: see AddPositions of models/positions.py.
      key_bias: whether keys have a bias: see Options of models/attention.py.
      activation: of the MLPs.
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
    head: Literal["token", "gap"] = "token"
    positions: Kind = "learned"
    key_bias: bool = True
    activation: Activation = "gelu"
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

    def frame_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the patches of a frame of so many pixels."""
        return height // self.size["patch"], width // self.size["patch"]

    @nn.compact
    def __call__(
        self, clip: Float[AnyArray, "B *V frames height width channels"], *, train: bool
    ) -> Float32[Array, "B C"]:
        """The logits of the clip; of several views of a video, their mean.

        Raises:
          UserError: a clip that does not divide into tubelets, or has too many.
        """
        # The head is linear: the logits of the mean are the mean of the logits.
        x = averaged(clip, partial(self.represent, train=train))
        self.sow("probe", "representation", x)
        if self.outputs:
            zeros = nn.initializers.zeros
            x = nn.Dense(self.outputs, kernel_init=zeros, dtype=jnp.dtype(self.dtype), name="head")(x)
        return x.astype(jnp.float32)

    # The following are called from a compact method, of this class or of one that learns from masked clips.

    def represent(self, clip: Float[AnyArray, "B frames height width channels"], train: bool) -> Float[Array, "B D"]:
        """What the head classifies."""
        x = self.tubelets(clip)
        batch, times, rows, columns, width = x.shape
        if self.attention == "joint":
            return self._whole(x.reshape(batch, -1, width), (times * rows, columns), "", self.size["depth"], train)
        x = self._whole(x.reshape(batch * times, -1, width), (rows, columns), "", self.size["depth"], train)
        return self._whole(x.reshape(batch, times, width), (times, 1), "temporal_", self.temporal_depth, train)

    def tubelets(self, clip: Float[AnyArray, "B frames height width channels"]) -> Float[Array, "B T rows columns D"]:
        """The embedding of each tubelet (section 3.2), without positions."""
        size, dtype = self.size, jnp.dtype(self.dtype)
        tubelet = (size["tubelet"], size["patch"], size["patch"])
        if any(whole % part for whole, part in zip(clip.shape[1:4], tubelet, strict=True)):
            raise UserError(
                f"a clip of {'x'.join(map(str, clip.shape[1:4]))} does not divide into tubelets of "
                f"{'x'.join(map(str, tubelet))}: change config.data.frames, image_size, config.model.tubelet or patch."
            )
        rows, columns = self.frame_grid(*clip.shape[2:4])
        count = rows * columns * (clip.shape[1] // size["tubelet"] if self.attention == "joint" else 1)
        variants.check_patches(f"a clip of {'x'.join(map(str, clip.shape[1:4]))}", count)
        initial = nn.initializers.lecun_normal()
        embedding = nn.Conv(
            size["width"], tubelet, tubelet, "VALID", kernel_init=initial, dtype=dtype, name="embedding"
        )
        return embedding(clip.astype(dtype))

    def place(self, x: Float[Array, "b N D"], grid: tuple[int, int], prefix: str, train: bool) -> Float[Array, "b N D"]:
        """Tokens with positions. prefix: of their parameters."""
        if self.positions in ("relative", "rotary"):
            raise UserError(
                f"config.model.positions={self.positions} is for images: choose learned or sinusoid_1d for clips."
            )
        x = AddPositions(self.positions, name=f"{prefix}positions")(x, grid)
        return nn.Dropout(self.dropout, deterministic=not train)(x)

    def encode(
        self, x: Float[Array, "b N D"], prefix: str, depth: int, last_norm: bool, train: bool
    ) -> Float[Array, "b N D"]:
        """All layers. prefix: of their parameters."""
        encoder = Encoder(
            depth=depth,
            heads=self.size["heads"],
            mlp_dim=self.size["mlp_dim"],
            dropout=self.dropout,
            mlp_dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            last_norm=last_norm,
            options=Options(key_bias=self.key_bias),
            remat=self.remat,
            kernel=self.kernel,
            dtype=jnp.dtype(self.dtype),
            name=f"{prefix}encoder",
        )
        return encoder(x, train=train)

    def normalise(self, x: jax.Array, prefix: str) -> jax.Array:
        """The LayerNorm that does not belong to the encoder. prefix: of its parameters."""
        return layer_norm(jnp.dtype(self.dtype), f"{prefix}norm", self.norm_epsilon)(x)

    def _whole(
        self, x: Float[Array, "b N D"], grid: tuple[int, int], prefix: str, depth: int, train: bool
    ) -> Float[Array, "b D"]:
        """What an encoder of its own makes of all tokens. prefix: of its parameters."""
        if self.head == "gap":
            x = self.encode(self.place(x, grid, prefix, train), prefix, depth, last_norm=False, train=train)
            return self.normalise(x.mean(1), prefix)
        token = self.param(f"{prefix}token", nn.initializers.zeros, (1, 1, x.shape[-1])).astype(x.dtype)
        x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        return self.encode(self.place(x, grid, prefix, train), prefix, depth, last_norm=True, train=train)[:, 0]


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    sizes = {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2, "patch": 8, "tubelet": 2}
    return sizes | {"temporal_depth": 1}
