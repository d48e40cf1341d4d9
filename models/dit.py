"""The diffusion Transformer (2212.09748): what a task asks of a noisy image (its noise, or the direction to
it), given the level of noise and the class.

B batch, N patches, D width, C classes.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int, Int32
from pydantic import PositiveFloat

from errors import UserError
from lookup import Depth, Rate, Size
from models import masking, paths, sizes, variants
from models.arrays import AnyArray
from models.attention import MultiHeadAttention
from models.encoder import Mlp, Remat, constrain, rematerialised
from models.kernel_choice import Kernel
from models.sinusoids import sinusoid_2d_halves

FREQUENCIES = 256  # of the time's sinusoids
EPSILON = 1e-6  # of every LayerNorm but those before an MLP
NORMAL = nn.initializers.normal(0.02)
VARIANTS = {f"{name}/{patch}": row | {"patch": patch} for name, row in sizes.DIT.items() for patch in sizes.DIT_PATCHES}


class Model(nn.Module):
    """Patches with fixed positions, blocks that time and class scale and shift, and a linear map back to pixels.

    Attributes:
      outputs: C.
      variant: a published size and a patch size, "S/2"; "" when width, depth, heads and patch are all given.
      width: D; replaces the variant's.
      depth: the number of layers; replaces the variant's.
      heads: H; replaces the variant's.
      patch: the side of a patch in pixels; replaces the variant's.
      class_dropout: share of the training images whose class is hidden, so that the model knows images of no class too,
        which guidance needs; 0 for none.
      learned_variance: whether there is a second output of the same size, the variance: for config.task.path=diffusion.
      frequency_shift: of the times' n = 128 frequencies 10000^(-i / (n - shift)): the paper's code has 0, diffusers 1.
      mlp_norm_epsilon: of the LayerNorm before each MLP; 1e-5 in diffusers.
      remat: what the backward pass computes again: see Encoder of models/encoder.py.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and output are float32.
    """

    outputs: int
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    heads: Size | None = None
    patch: Size | None = None
    class_dropout: Rate = 0.1
    learned_variance: bool = False
    frequency_shift: Literal[0, 1] = 0
    mlp_norm_epsilon: PositiveFloat = 1e-6
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> dict[str, int]:
        """width, depth, heads and patch: the variant's, each replaced where it is given.

        Raises:
          UserError: a width that heads or positions do not divide.
        """
        given = {key: getattr(self, key) for key in ("width", "depth", "heads", "patch")}
        found = variants.sizes(self.variant, VARIANTS, **given)
        variants.split_by_heads(found)
        if found["width"] % 4:
            raise UserError(f"config.model.width={found['width']} does not divide by 4, as its positions need.")
        return found

    def grid(self, image: Float[AnyArray, "B height width channels"]) -> tuple[int, int]:
        """Rows and columns of an image's patches.

        Raises:
          UserError: an image that does not divide into patches.
        """
        return variants.patch_grid(image, self.size["patch"])

    def draw(
        self, image: Float[AnyArray, "B ..."], index: Int32[AnyArray, " B"] | None = None, *, train: bool
    ) -> tuple[Float32[Array, "B ..."], Float32[Array, " B"]]:
        """Noise for each image, and how much of it there is, evenly from 0 to 1.

        Args:
          index: the images' places in their split, which decide outside of training, so that evaluations compare.
        """
        if train:
            keys = jax.random.split(jax.random.fold_in(self.make_rng("dropout"), 1), image.shape[0])
        else:
            keys = masking.keys(index, image.shape[0])
        of_noise, of_level = jnp.swapaxes(jax.vmap(jax.random.split)(keys), 0, 1)
        noise = jax.vmap(lambda key: jax.random.normal(key, image.shape[1:]))(of_noise)
        return noise, jax.vmap(jax.random.uniform)(of_level)

    @nn.compact
    def __call__(
        self,
        image: Float[AnyArray, "B height width channels"],
        time: Float[AnyArray, " B"],
        label: Int[AnyArray, " B"] | None,
        *,
        train: bool,
    ) -> Float32[Array, "B height width outputs"]:
        """What the task asks for of each pixel; with `learned_variance` twice as many channels.

        Args:
          image: noisy.
          time: from 0, an image, to 1000, noise.
          label: of each image's class; None for no class.

        Raises:
          UserError: no class, of a model that does not know that.
        """
        dtype, size = jnp.dtype(self.dtype), self.size
        (rows, columns), side, width = self.grid(image), size["patch"], size["width"]
        batch, channels = image.shape[0], image.shape[-1] * (2 if self.learned_variance else 1)
        x = nn.Conv(width, (side, side), strides=side, padding="VALID", dtype=dtype, name="embedding")(image)
        x = x.reshape(batch, rows * columns, width) + sinusoid_2d_halves(rows, columns, width).astype(dtype)
        of_time = TimeEmbedding(width, self.frequency_shift, dtype, name="time")(time)
        condition = nn.silu(of_time + self._class(label, batch, width, train))
        block = rematerialised(Block, self.remat, static_argnums=(3,))
        for number in range(size["depth"]):
            layer = block(size["heads"], self.mlp_norm_epsilon, self.kernel, dtype, name=paths.block(number))
            x = layer(x, condition, train)
        shift, scale = modulation(condition, 2, width, dtype, "modulation")
        x = scaled(layer_norm_alone(dtype)(x), shift, scale)
        still = nn.initializers.zeros
        x = nn.Dense(side * side * channels, kernel_init=still, dtype=dtype, name="head")(x)
        x = x.reshape(batch, rows, columns, side, side, channels).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(batch, rows * side, columns * side, channels).astype(jnp.float32)

    def _class(self, label: AnyArray | None, batch: int, width: int, train: bool) -> Float[Array, "B D"]:
        """The embedding of each class, or of none, which is the last row."""
        none = self.outputs
        if label is None and not self.class_dropout:
            raise UserError(
                "config.task.guidance needs a model that knows images of no class too, and this one was trained with "
                "config.model.class_dropout=0: take config.task.guidance=1."
            )
        label = jnp.full(batch, none) if label is None else label
        if train and self.class_dropout:
            hidden = jax.random.bernoulli(self.make_rng("dropout"), self.class_dropout, (batch,))
            label = jnp.where(hidden, none, label)
        count = self.outputs + (self.class_dropout > 0)
        return nn.Embed(count, width, embedding_init=NORMAL, dtype=jnp.dtype(self.dtype), name="classes")(label)


class TimeEmbedding(nn.Module):
    """Sinusoids of the time, through an MLP.

    Attributes:
      width: D.
      shift: see Model.frequency_shift.
      dtype: of the computation.
    """

    width: int
    shift: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, time: Float[AnyArray, " B"]) -> Float[Array, "B D"]:
        """The embedding of each time."""
        half = FREQUENCIES // 2
        angle = time[:, None] * np.exp(-np.log(10_000) * np.arange(half) / (half - self.shift)).astype(np.float32)
        x = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        dense = partial(nn.Dense, self.width, kernel_init=NORMAL, dtype=self.dtype)
        return dense(name="out")(nn.silu(dense(name="hidden")(x)))


class Block(nn.Module):
    """One layer with adaLN-Zero (section 3.2): x + gate * branch(scale * LN(x) + shift), where time and class give
    shift, scale and gate, at first all 0.

    Attributes:
      heads: H.
      mlp_norm_epsilon, kernel, dtype: see Model.
    """

    heads: int
    mlp_norm_epsilon: float
    kernel: Kernel
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], condition: Float[Array, "B D"], train: bool) -> Float[Array, "B N D"]:
        """The layer's output. condition: of time and class, after its SiLU."""
        width = x.shape[-1]
        first, second = jnp.split(jnp.stack(modulation(condition, 6, width, self.dtype, "modulation")), 2)
        attention = MultiHeadAttention(width, self.heads, kernel=self.kernel, dtype=self.dtype, name="attention")
        mlp = Mlp(4 * width, activation="gelu_tanh", dtype=self.dtype, name="mlp")
        branches = ((first, EPSILON, attention), (second, self.mlp_norm_epsilon, mlp))
        for (shift, scale, gate), epsilon, branch in branches:
            y = branch(scaled(layer_norm_alone(self.dtype, epsilon)(x), shift, scale), train=train)
            x = x + gate[:, None] * y
        x = constrain(x)
        self.sow("probe", "output", x)
        return x


def modulation(
    condition: Float[Array, "B D"], count: int, width: int, dtype: DTypeLike, name: str
) -> list[Float[Array, "B D"]]:
    """`count` vectors of time and class, at first 0. Called from a compact method."""
    still = nn.initializers.zeros
    return jnp.split(nn.Dense(count * width, kernel_init=still, dtype=dtype, name=name)(condition), count, axis=-1)


def scaled(x: Float[Array, "B N D"], shift: Float[Array, "B D"], scale: Float[Array, "B D"]) -> Float[Array, "B N D"]:
    """x (1 + scale) + shift."""
    return x * (1 + scale[:, None]) + shift[:, None]


def layer_norm_alone(dtype: DTypeLike, epsilon: float = EPSILON) -> nn.LayerNorm:
    """LayerNorm without parameters."""
    return nn.LayerNorm(epsilon=epsilon, use_bias=False, use_scale=False, dtype=dtype)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 16, "depth": 2, "heads": 2, "patch": 4}
