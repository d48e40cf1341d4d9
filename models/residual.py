"""ResNet (1512.03385) with normalisation as published: batch statistics, trained or frozen; or GroupNorm.

The stride is in the 3x3 convolution, as in all later code. B batch.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from models import paths
from models.arrays import AnyArray
from models.encoder import Remat, constrain, rematerialised
from models.resnet import group_norm

NormKind = Literal["frozen", "batch", "group"]
Root = Literal["imagenet", "small"]
EXPANSION = 4  # of a bottleneck's output over its width
EPSILON = 1e-5


class Frozen(nn.Module):
    """Normalisation by mean and variance that stay as they were published: nothing of it learns.

    Attributes:
      dtype: of the computation; the numbers are float32.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """(x - mean) / sqrt(variance + epsilon) * scale + bias."""
        ones, zeros, size = nn.initializers.ones, nn.initializers.zeros, (x.shape[-1],)
        firsts = {"scale": ones, "bias": zeros, "mean": zeros, "variance": ones}
        given = {name: jax.lax.stop_gradient(self.param(name, first, size)) for name, first in firsts.items()}
        factor = given["scale"] * jax.lax.rsqrt(given["variance"] + EPSILON)
        return x * factor.astype(self.dtype) + (given["bias"] - given["mean"] * factor).astype(self.dtype)


def norm_layer(kind: NormKind, channels: int, train: bool, dtype: DTypeLike, name: str) -> nn.Module:
    """The normalisation of this kind."""
    if kind == "frozen":
        return Frozen(dtype, name=name)
    if kind == "batch":
        return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=EPSILON, dtype=dtype, name=name)
    return group_norm(channels, "pre", dtype, name)


class Unit(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1, and a shortcut around them.

    Attributes:
      width: of the convolutions; a bottleneck's output is four times as wide.
      stride: of the first 3x3 convolution.
      bottleneck: which of the two.
      norm: see Trunk.
      dtype: of the computation; parameters are float32.
    """

    width: int
    stride: int
    bottleneck: bool
    norm: NormKind
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B height width channels"], train: bool) -> Float[Array, "B rows columns D"]:
        """Features of height / stride rows and width / stride columns."""
        out = self.width * (EXPANSION if self.bottleneck else 1)

        def conv(y: jax.Array, features: int, size: int, name: str, stride: int = 1) -> jax.Array:
            y = convolution(features, size, stride, self.dtype, f"conv_{name}")(y)
            return norm_layer(self.norm, features, train, self.dtype, f"norm_{name}")(y)

        if self.bottleneck:
            y = nn.relu(conv(x, self.width, 1, "1"))
            y = nn.relu(conv(y, self.width, 3, "2", self.stride))
            y = conv(y, out, 1, "3")
        else:
            y = nn.relu(conv(x, self.width, 3, "1", self.stride))
            y = conv(y, out, 3, "2")
        if x.shape[-1] != out or self.stride != 1:
            x = conv(x, out, 1, "projection", self.stride)
        x = constrain(nn.relu(x + y))
        self.sow("probe", "output", x)
        return x


def convolution(features: int, size: int, stride: int, dtype: DTypeLike, name: str) -> nn.Conv:
    """A convolution without bias, both sides padded alike."""
    he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
    padding = [((size - 1) // 2,) * 2] * 2
    return nn.Conv(
        features, (size, size), stride, padding=padding, use_bias=False, kernel_init=he, dtype=dtype, name=name
    )


class Trunk(nn.Module):
    """Root and stages; each stage but the first halves the map and doubles the width.

    Attributes:
      depths: the number of units in each stage.
      width: of the root and of the first stage's convolutions.
      bottleneck: whether units are bottlenecks.
      root: "imagenet": 7x7 of stride 2 and pooling, to a quarter of the image's side | "small": 3x3 of stride 2, to
        half of it.
      norm: "frozen" batch statistics, those that are trained ("batch"), or "group".
      remat: what the backward pass of each unit computes again: see Encoder of models/encoder.py.
      dtype: of the computation; parameters are float32.
    """

    depths: tuple[int, ...]
    width: int
    bottleneck: bool
    root: Root
    norm: NormKind
    remat: Remat
    dtype: DTypeLike

    @nn.compact
    def __call__(self, image: Float[AnyArray, "B height width channels"], *, train: bool) -> list[jax.Array]:
        """The map after each stage, (B, rows, columns, D): of stride 4 or 2, then twice that, and so on."""
        large = self.root == "imagenet"
        x = convolution(self.width, 7 if large else 3, 2, self.dtype, "root_conv")(jnp.asarray(image, self.dtype))
        x = nn.relu(norm_layer(self.norm, self.width, train, self.dtype, "root_norm")(x))
        if large:
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        again = rematerialised(Unit, self.remat, static_argnums=(2,))
        unit = partial(again, bottleneck=self.bottleneck, norm=self.norm, dtype=self.dtype)
        maps = []
        for stage, depth in enumerate(self.depths):
            for number in range(depth):
                stride = 2 if stage > 0 and number == 0 else 1
                x = unit(self.width * 2**stage, stride, name=paths.unit(stage, number))(x, train)
            maps.append(x)
        return maps
