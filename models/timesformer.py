"""TimeSformer (2102.05095): attention in time, then in space, within every layer.

B batch, V views of a video, T frames, N patches of a frame, D width, H heads, F MLP, C classes.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from pydantic import PositiveFloat

from errors import UserError
from lookup import Depth, Rate, Size
from models import paths, sizes, variants
from models.arrays import AnyArray
from models.attention import XAVIER, MultiHeadAttention
from models.encoder import Activation, Block, Mlp, Remat, constrain, layer_norm, rematerialised
from models.kernel_choice import Kernel
from models.positions import AddPositions
from models.views import averaged

VARIANTS = {f"{name}/{patch}": row | {"patch": patch} for name, row in sizes.VIT.items() for patch in sizes.VIT_PATCHES}

Attention = Literal["divided", "joint", "space"]


class Model(nn.Module):
    """Patches of every frame, positions in space and in time, one class token, layers, head.

    A ViT's parameters are those of all but time: with config.init_fresh=("head/.*", "time_positions", ".*/time_.*") it
    begins as an image model does.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: a published size and a patch size, "B/16"; "" when all sizes are given.
      width: D; replaces the variant's.
      depth: layers; replaces the variant's.
      mlp_dim: F; replaces the variant's.
      heads: H; replaces the variant's.
      patch: the side of a patch in pixels; replaces the variant's.
      attention: "divided": each patch attends to its place at all times, and then to its frame (section 3, equations 5
        to 8); "joint": to all patches of the clip; "space": only to its frame, whose tokens are averaged over time
        after the last layer.
      dropout: after every dense layer but query, key and value, and after the positions.
      stochastic_depth: the probability that a branch of the last layer is dropped.
      activation: of the MLPs.
      norm_epsilon: what LayerNorm adds to the variance.
      remat: what the backward pass computes again: see Encoder of models/encoder.py.
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
    attention: Attention = "divided"
    dropout: Rate = 0.0
    stochastic_depth: Rate = 0.0
    activation: Activation = "gelu"
    norm_epsilon: PositiveFloat = 1e-6
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> dict[str, int]:
        """The variant's sizes, each replaced where it is given."""
        names = ("width", "depth", "mlp_dim", "heads", "patch")
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
          UserError: frames that do not divide into patches, or have too many.
        """
        # The head is linear: the logits of the mean are the mean of the logits.
        x = averaged(clip, partial(self._represent, train=train))
        self.sow("probe", "representation", x)
        if self.outputs:
            zeros = nn.initializers.zeros
            x = nn.Dense(self.outputs, kernel_init=zeros, dtype=jnp.dtype(self.dtype), name="head")(x)
        return x.astype(jnp.float32)

    def _represent(self, clip: Float[AnyArray, "b T height width channels"], train: bool) -> Float[Array, "b D"]:
        """The class token after the last layer."""
        size, dtype = self.size, jnp.dtype(self.dtype)
        side, (batch, times, height, across) = size["patch"], clip.shape[:4]
        if height % side or across % side:
            raise UserError(
                f"frames of {height}x{across} do not divide into patches of {side}: change config.data.image_size or "
                "config.model.patch."
            )
        count = (height // side) * (across // side) * (times if self.attention == "joint" else 1)
        variants.check_patches(f"a clip of {times}x{height}x{across}", count)
        frames = clip.reshape(batch * times, *clip.shape[2:]).astype(dtype)
        initial = nn.initializers.lecun_normal()
        embedding = nn.Conv(
            size["width"], (side, side), side, "VALID", kernel_init=initial, dtype=dtype, name="embedding"
        )
        x = embedding(frames).reshape(batch * times, -1, size["width"])
        token = self.param("token", nn.initializers.zeros, (1, 1, size["width"])).astype(dtype)
        x = jnp.concatenate([jnp.tile(token, (batch * times, 1, 1)), x], axis=1)
        x = AddPositions("learned", name="positions")(x, (height // side, across // side))
        drop = nn.Dropout(self.dropout, deterministic=not train)
        x = drop(x)
        if self.attention != "space":
            place = self.param("time_positions", nn.initializers.zeros, (1, times, size["width"])).astype(dtype)
            x = x.reshape(batch, times, -1, size["width"])
            token, x = x[:, 0, :1], drop(x[:, :, 1:] + place[:, :, None])
            x = jnp.concatenate([token, x.reshape(batch, -1, size["width"])], axis=1)
        layers = Layers(
            depth=size["depth"],
            heads=size["heads"],
            mlp_dim=size["mlp_dim"],
            attention=self.attention,
            dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            remat=self.remat,
            kernel=self.kernel,
            dtype=dtype,
            name="encoder",
        )
        return layers(x, times, train=train)[:, 0]


class Layers(nn.Module):
    """All layers and a last LayerNorm.

    Attributes:
      depth: the number of layers.
      heads, mlp_dim, attention, dropout, stochastic_depth, activation, norm_epsilon, remat, kernel, dtype: see Model.
    """

    depth: int
    heads: int
    mlp_dim: int
    attention: Attention
    dropout: float
    stochastic_depth: float
    activation: Activation
    norm_epsilon: float
    remat: Remat
    kernel: Kernel
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b N D"], times: int, *, train: bool) -> Float[Array, "B M D"]:
        """The tokens of each of B clips, normalised.

        Args:
          x: the class token and all patches of each clip, frame by frame; with attention="space" those of each frame.
          times: frames of a clip.
        """
        rates = np.linspace(0, self.stochastic_depth, self.depth, dtype=np.float32)
        shared = dict(
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            dropout=self.dropout,
            stochastic_depth=self.stochastic_depth > 0,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            kernel=self.kernel,
            dtype=self.dtype,
        )
        for layer, rate in enumerate(map(jnp.asarray, rates)):
            name = paths.block(layer)
            if self.attention == "divided":
                divided = rematerialised(DividedBlock, self.remat, static_argnums=(3, 4))
                x = divided(**shared, first=layer == 0, name=name)(x, rate, times, train)
            else:
                block = rematerialised(Block, self.remat, static_argnums=(4,))
                x, _ = block(**shared, mlp_dropout=self.dropout, name=name)(x, rate, None, train)
        if self.attention == "space":
            x = x.reshape(-1, times, *x.shape[1:]).mean(1)
        return layer_norm(self.dtype, "norm", self.norm_epsilon)(x)


class DividedBlock(nn.Module):
    """One layer of divided attention: x + W attention(LN(x)) over the times of each place, then x + attention(LN(x))
    over the places of each time, then x + mlp(LN(x)) (2102.05095, figure 2).

    The class token takes no part in the first; in the second it is a token of every frame, and the mean of what it
    gathers there is added to it. W begins at 0 in all layers but the first, so that space alone is learned from there.

    Attributes:
      first: whether this is the first layer.
      stochastic_depth: whether branches are dropped at all.
      heads, mlp_dim, dropout, activation, norm_epsilon, kernel, dtype: see Model.
    """

    heads: int
    mlp_dim: int
    first: bool
    dropout: float
    stochastic_depth: bool
    activation: Activation
    norm_epsilon: float
    kernel: Kernel
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: Float[Array, "B M D"], drop_rate: Float[Array, ""], times: int, train: bool
    ) -> Float[Array, "B M D"]:
        """The layer's output.

        Args:
          x: the class token, and the patches of one frame after the other.
          drop_rate: the probability that a branch of this layer is dropped.
          times: frames.
        """
        batch, _, width = x.shape
        attention = partial(MultiHeadAttention, width, self.heads, kernel=self.kernel, dtype=self.dtype)
        norm = partial(layer_norm, self.dtype, epsilon=self.norm_epsilon)

        def dropped(y: jax.Array) -> jax.Array:
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
            if train and self.stochastic_depth:
                kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - drop_rate, (len(y), 1, 1))
                y = jnp.where(kept, y / (1 - drop_rate).astype(y.dtype), 0)
            return y

        token, patches = x[:, :1], x[:, 1:].reshape(batch, times, -1, width)
        y = patches.swapaxes(1, 2).reshape(-1, times, width)
        y = dropped(attention(name="time_attention")(norm("time_norm")(y), train=train))
        initial = XAVIER.residual if self.first else nn.initializers.zeros
        y = nn.Dense(width, kernel_init=initial, dtype=self.dtype, name="time_out")(y)
        patches = patches + y.reshape(batch, -1, times, width).swapaxes(1, 2)

        y = jnp.concatenate([jnp.tile(token[:, None], (1, times, 1, 1)), patches], axis=2)
        y = y.reshape(batch * times, -1, width)
        y = dropped(attention(name="attention")(norm("attention_norm")(y), train=train))
        y = y.reshape(batch, times, -1, width)
        token, patches = token + y[:, :, :1].mean(1), patches + y[:, :, 1:]

        x = jnp.concatenate([token, patches.reshape(batch, -1, width)], axis=1)
        mlp = Mlp(self.mlp_dim, self.dropout, self.activation, self.dtype, name="mlp")
        x = constrain(x + dropped(mlp(norm("mlp_norm")(x), train=train)))
        self.sow("probe", "output", x)
        return x


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "mlp_dim": 32, "heads": 2, "patch": 8}
