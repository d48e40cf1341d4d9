"""UPerNet (1807.10221): pyramid pooling and a feature pyramid over a trunk's maps, fused for a class of each pixel.

B batch, R rows and C columns of a map, D its width.
"""

from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32
from pydantic import NonNegativeInt, PositiveInt

from errors import UserError
from lookup import Distinct, Rate, Size
from models import residual, sizes
from models.arrays import AnyArray
from models.encoder import Remat, layer_norm
from models.kernel_choice import Kernel
from models.segmenter import enlarged
from models.trunks import Strides, Trunk

NORMAL = nn.initializers.normal(0.01)
Norm = Literal["batch", "group", "layer", "frozen"]


class Model(nn.Module):
    """Trunk, pyramid pooling of its last map, a feature pyramid, and one linear layer on all of its maps.

    Attributes:
      outputs: C; 0 returns the mean of the trunk's last map.
      trunk: what makes the maps.
      strides: of the maps that are used, the last one's pooled.
      width: of the pyramid.
      scales: rows and columns that the last map is pooled to.
      norm: "batch" as published, by the statistics of a batch; "frozen", by published ones that stay; or independent of
        it, "group", over the whole map, or
        "layer", over the channels of each place (as in 2203.16527). Groups have two channels where the width is 32 or
        64: they leave only a sign of what is pooled to one place, and make what is nowhere in an image as large as what
        is there. Take "layer" or "batch" then.
      logits: "interpolated" from those of the finest map, as published, or of all "pixels" of each of its places, which
        the last layer gives (1609.05158): for what is only a few pixels wide.
      dropout: before the last layer, of whole maps; and before the auxiliary one.
      auxiliary: the stride of the map that has logits of its own in training, by one convolution: 16 as published with
        Swin (2103.14030); 0 for none. Prediction does not use it.
      remat: what the backward pass of the trunk computes again: see Encoder of models/encoder.py.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    trunk: Trunk = Trunk()
    strides: Strides = (4, 8, 16, 32)
    width: Size = 512
    scales: Annotated[tuple[PositiveInt, ...], Distinct] = (1, 2, 3, 6)
    norm: Norm = "group"
    logits: Literal["interpolated", "pixels"] = "interpolated"
    dropout: Rate = 0.1
    auxiliary: NonNegativeInt = 0
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @nn.compact
    def __call__(
        self, image: Float[AnyArray, "B height width channels"], *, train: bool
    ) -> Float32[Array, "B ... C"] | tuple[Float32[Array, "B height width C"], Float32[Array, "B height width C"]]:
        """The logits of each pixel, (B, height, width, C); in training, with `auxiliary`, also those of its map.

        Raises:
          UserError: `auxiliary` is none of the strides.
        """
        if self.auxiliary and self.auxiliary not in self.strides:
            raise UserError(
                f"config.model.auxiliary={self.auxiliary} is none of config.model.strides={self.strides}: take one of "
                "them, or 0."
            )
        dtype = jnp.dtype(self.dtype)
        found = self.trunk.maps(image, self.strides, train=train, remat=self.remat, kernel=self.kernel, dtype=dtype)
        maps = [one.features for one in found]
        if not self.outputs:
            return maps[-1].mean((1, 2)).astype(jnp.float32)

        def conv(x: jax.Array, size: int, name: str, width: int = self.width) -> jax.Array:
            return Convolution(width, size, self.norm, dtype, name=name)(x, train)

        def drop(x: jax.Array) -> jax.Array:
            return nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(x)

        last = maps[-1]
        pooled = [
            enlarged(conv(pool(last, scale), 1, f"pooled_{scale}"), last.shape[1:3]).astype(dtype)
            for scale in self.scales
        ]
        laterals = [conv(x, 1, f"lateral_{i}") for i, x in enumerate(maps[:-1])]
        laterals.append(conv(jnp.concatenate([last, *pooled], axis=-1), 3, "bottleneck"))
        for i in reversed(range(len(laterals) - 1)):
            laterals[i] += enlarged(laterals[i + 1], laterals[i].shape[1:3]).astype(dtype)
        outputs = [conv(x, 3, f"output_{i}") for i, x in enumerate(laterals[:-1])] + laterals[-1:]
        finest = outputs[0].shape[1:3]
        x = conv(jnp.concatenate([enlarged(x, finest).astype(dtype) for x in outputs], axis=-1), 3, "fusion")
        side = min(self.strides) if self.logits == "pixels" else 1
        x = nn.Dense(self.outputs * side**2, kernel_init=NORMAL, dtype=dtype, name="head")(drop(x))
        logits = spread(x, side, image.shape[1:3]) if side > 1 else enlarged(x, image.shape[1:3])
        if not self.auxiliary or not (train or self.is_initializing()):
            return logits
        x = conv(maps[sorted(self.strides).index(self.auxiliary)], 3, "auxiliary", sizes.AUXILIARY_WIDTH)
        x = nn.Dense(self.outputs, kernel_init=NORMAL, dtype=dtype, name="auxiliary_head")(drop(x))
        return (logits, enlarged(x, image.shape[1:3])) if train else logits


class Convolution(nn.Module):
    """Convolution, normalisation, ReLU.

    Attributes:
      width: of the output.
      size: of the kernel.
      norm: see Model.
      dtype: of the computation; parameters are float32.
    """

    width: int
    size: int
    norm: Norm
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B R C D"], train: bool) -> Float[Array, "B R C E"]:
        """A map of the same rows and columns."""
        x = residual.convolution(self.width, self.size, 1, self.dtype, "conv")(x)
        if self.norm == "layer":
            return nn.relu(layer_norm(self.dtype, "norm", residual.EPSILON)(x))
        return nn.relu(residual.norm_layer(self.norm, self.width, train, self.dtype, "norm")(x))


def spread(x: Float[Array, "B R C D"], side: int, size: tuple[int, ...]) -> Float32[Array, "B height width K"]:
    """The `side` x `side` pixels of each place of a map, K = D / side**2, cut to a size."""
    (batch, rows, columns), x = x.shape[:3], x.astype(jnp.float32)
    x = x.reshape(batch, rows, columns, side, side, -1).swapaxes(2, 3)
    return x.reshape(batch, rows * side, columns * side, -1)[:, : size[0], : size[1]]


def pool(x: Float[Array, "B R C D"], scale: int) -> Float[Array, "B scale scale D"]:
    """The means of `scale` x `scale` parts of a map, which overlap by a row or column where it does not divide."""
    rows, columns = (jnp.asarray(parts(side, scale), x.dtype) for side in x.shape[1:3])
    return jnp.einsum("BRCD,iR,jC->BijD", x, rows, columns)


def parts(side: int, scale: int) -> Float[np.ndarray, "scale side"]:
    """The share of each row in the mean of each part."""
    place, part = np.arange(side), np.arange(scale)[:, None]
    inside = (place >= part * side // scale) & (place < -(-(part + 1) * side // scale))
    return inside / inside.sum(1, keepdims=True)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    trunk = {"variant": "", "width": 4, "depths": (1, 1, 1, 1), "head_dim": 2, "window": 2}
    return {"width": 8, "trunk": dict(section.get("trunk", {})) | trunk}
