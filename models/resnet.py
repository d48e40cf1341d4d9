"""ResNet as BiT has it (1912.11370): GroupNorm and weight standardisation instead of BatchNorm.

B batch, C classes.
"""

import re
from functools import partial
from math import gcd
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32
from pydantic import PositiveInt

from errors import UserError, nearest
from lookup import Size
from models import paths
from models.arrays import AnyArray
from models.encoder import Remat, constrain, rematerialised
from models.sizes import RESNET_DEPTHS, RESNET_VARIANTS, RESNET_WIDTH

Root = Literal["imagenet", "cifar"]
Order = Literal["pre", "post"]

EXPANSION = 4  # of a unit's output over its bottleneck
GROUPS = 32


class Conv(nn.Module):
    """A convolution without bias whose kernel is standardised to mean 0 and variance 1 for each output (1903.10520).

    Attributes:
      features: the number of outputs.
      size: the side of the kernel.
      order: whose epsilon and padding it has: "pre": BiT's, which pads both sides alike; "post": the JAX code's.
      stride: in both directions.
      dtype: of the computation; the kernel is float32.
    """

    features: int
    size: int
    order: Order
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B height width channels"]) -> Float[Array, "B rows columns features"]:
        """The features, of height / stride rows and width / stride columns."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = standardised(self.param("kernel", nn.initializers.lecun_normal(), shape), self.order)
        padding = [((self.size - 1) // 2, self.size // 2)] * 2 if self.order == "pre" else "SAME"
        return jax.lax.conv_general_dilated(
            jnp.asarray(x, self.dtype),
            kernel.astype(self.dtype),
            (self.stride, self.stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


def standardised(
    kernel: Float[Array, "height width inputs outputs"], order: Order
) -> Float[Array, "height width inputs outputs"]:
    """Weight standardisation of a kernel."""
    kernel = kernel - kernel.mean((0, 1, 2))
    variance = jnp.square(kernel).mean((0, 1, 2))
    return kernel / (jnp.sqrt(variance + 1e-10) if order == "pre" else jnp.sqrt(variance) + 1e-5)


def group_norm(
    channels: int, order: Order, dtype: DTypeLike, name: str, scale: Initializer = nn.initializers.ones
) -> nn.GroupNorm:
    """GroupNorm (1803.08494) of 32 groups; fewer in narrow layers, so that a group has at least two channels."""
    epsilon = 1e-5 if order == "pre" else 1e-6
    groups = gcd(GROUPS, max(1, channels // 2))
    return nn.GroupNorm(groups, epsilon=epsilon, scale_init=scale, dtype=dtype, name=name)


class Unit(nn.Module):
    """A bottleneck: 1x1, 3x3 and 1x1 convolutions, and a shortcut around them.

    Attributes:
      width: of the bottleneck; the output is four times as wide.
      stride: of the 3x3 convolution.
      dtype: of the computation; parameters are float32.
      order: "pre": norm and ReLU before each convolution (1603.05027) | "post": after each, as Google's JAX code.
    """

    width: int
    stride: int
    order: Order
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B height width channels"]) -> Float[Array, "B rows columns outputs"]:
        """Features of height / stride rows, width / stride columns and 4 * width outputs."""
        out = EXPANSION * self.width
        conv = partial(Conv, order=self.order, dtype=self.dtype)
        norm = partial(group_norm, order=self.order, dtype=self.dtype)
        projected = x.shape[-1] != out or self.stride != 1
        if self.order == "pre":
            y = nn.relu(norm(x.shape[-1], name="norm_1")(x))
            shortcut = conv(out, 1, stride=self.stride, name="projection")(y) if projected else x
            y = conv(self.width, 1, name="conv_1")(y)
            y = conv(self.width, 3, stride=self.stride, name="conv_2")(nn.relu(norm(self.width, name="norm_2")(y)))
            y = conv(out, 1, name="conv_3")(nn.relu(norm(self.width, name="norm_3")(y))) + shortcut
        else:
            shortcut = x
            if projected:
                shortcut = conv(out, 1, stride=self.stride, name="projection")(x)
                shortcut = norm(out, name="projection_norm")(shortcut)
            y = nn.relu(norm(self.width, name="norm_1")(conv(self.width, 1, name="conv_1")(x)))
            y = conv(self.width, 3, stride=self.stride, name="conv_2")(y)
            y = conv(out, 1, name="conv_3")(nn.relu(norm(self.width, name="norm_2")(y)))
            y = nn.relu(norm(out, name="norm_3", scale=nn.initializers.zeros)(y) + shortcut)
        y = constrain(y)
        self.sow("probe", "output", y)
        return y


class Trunk(nn.Module):
    """Root and stages; each stage but the first halves the image and doubles the width.

    Attributes:
      depths: the number of units in each stage.
      width: of the root and the first bottleneck.
      root: "imagenet": 7x7 of stride 2 and pooling, to a quarter of the image's side | "cifar": 3x3, the image's side.
      order: see Unit.
      remat: what the backward pass of each unit computes again: see Encoder of models/encoder.py.
      dtype: of the computation; parameters are float32.
    """

    depths: tuple[int, ...]
    width: int = RESNET_WIDTH
    root: Root = "imagenet"
    order: Order = "pre"
    remat: Remat = "none"
    dtype: DTypeLike = jnp.float32

    def __call__(self, image: Float[AnyArray, "B height width channels"]) -> Float[Array, "B rows columns features"]:
        """The features of the image: see `stride` for how many rows and columns."""
        return self.maps(image)[-1]

    @nn.compact
    def maps(self, image: Float[AnyArray, "B height width channels"]) -> list[jax.Array]:
        """The map after each stage, of half the rows and columns of the one before; without stages the root's."""
        large = self.root == "imagenet"
        x = Conv(self.width, 7 if large else 3, self.order, 2 if large else 1, self.dtype, name="root_conv")(image)
        if self.order == "post":
            x = nn.relu(group_norm(self.width, self.order, self.dtype, "root_norm")(x))
        if large and self.order == "pre":
            x = nn.max_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), (2, 2))
        elif large:
            x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        unit = rematerialised(Unit, self.remat, static_argnums=())
        maps = []
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                stride = 2 if stage > 0 and number == 0 else 1
                name = paths.unit(stage, number)
                x = unit(self.width * 2**stage, stride, self.order, self.dtype, name=name)(x)
            maps.append(x)
        return maps or [x]


def stride(root: Root, depths: tuple[int, ...]) -> int:
    """How many times fewer rows and columns a trunk's features have than the image."""
    return (4 if root == "imagenet" else 1) * 2 ** max(0, len(depths) - 1)


class Model(nn.Module):
    """Trunk, mean over the image, one linear layer.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: "R50x1", "R152x4" ...; "" when depths and width are given.
      depths: the number of units in each stage; replaces the variant's.
      width: of the root and the first bottleneck; replaces the variant's.
      root: "imagenet": 7x7 of stride 2 and pooling | "cifar": 3x3, for small images.
      order: "pre": norm and ReLU before each convolution, as BiT | "post": after each, as Google's JAX code.
      remat: what the backward pass of each unit computes again: see Encoder of models/encoder.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    variant: str = ""
    depths: tuple[PositiveInt, ...] | None = None
    width: Size | None = None
    root: Root = "imagenet"
    order: Order = "pre"
    remat: Remat = "none"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> tuple[tuple[int, ...], int]:
        """The number of units in each stage, and the width of the first."""
        named = re.fullmatch(r"R(\d+)x([1-9])", self.variant)
        if self.variant and not (named and named[1] in RESNET_DEPTHS):
            raise UserError(
                f"config.model.variant={self.variant!r} does not exist: {nearest(self.variant, RESNET_VARIANTS)}"
            )
        depths = self.depths or (RESNET_DEPTHS[named[1]] if named else ())
        width = self.width or (RESNET_WIDTH * int(named[2]) if named else 0)
        if not depths or not width:
            raise UserError("config.model.depths and width are not set: set them, or config.model.variant.")
        if width < 2:
            raise UserError(f"config.model.width={width} must be at least 2, for GroupNorm.")
        return tuple(depths), width

    @nn.compact
    def __call__(self, image: Float[AnyArray, "B height width channels"], *, train: bool) -> Float32[Array, "B C"]:
        """The logits of the image."""
        del train  # nothing is drawn
        (depths, width), dtype = self.size, jnp.dtype(self.dtype)
        x = Trunk(depths, width, self.root, self.order, self.remat, dtype, name="trunk")(image)
        if self.order == "pre":
            x = nn.relu(group_norm(x.shape[-1], self.order, dtype, "norm")(x))
        x = x.mean((1, 2))
        self.sow("probe", "representation", x)
        if not self.outputs:
            return x.astype(jnp.float32)
        head = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, dtype=dtype, name="head")
        return head(x).astype(jnp.float32)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"depths": (1, 1), "width": 8}
