"""DINO (2104.14294): a ViT that learns to say of a part of an image what its own moving average says of the
whole.

B batch, D width, K prototypes.
"""

from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
from annotated_types import Interval
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32

from errors import UserError
from lookup import Depth, Rate, Size
from models import vit
from models.arrays import AnyArray
from models.encoder import gelu
from models.kernels import product
from models.segmenter import unit

NORMAL = nn.initializers.truncated_normal(0.02)


class Model(vit.Model):
    """A ViT, whose parameters a classifier can begin with (config.init_from), and a head, `projection`.

    Learned positions are for `position_grid`, that of the global crops; smaller crops have them interpolated.

    Attributes:
      outputs: 0 returns the representation of the image, as a ViT does.
      prototypes: K, the numbers of an output.
      projection_depth: layers of the head's MLP.
      projection_width: of its hidden layers.
      bottleneck: numbers of its last layer, whose unit vectors are compared with the prototypes.
      scaled: whether prototypes have lengths that are learned; else all are unit vectors.
      centre_decay: of the moving average of the outputs, which is taken from a teacher's (equation 4).
    """

    prototypes: Annotated[int, Interval(ge=2, le=2**20)] = 65_536
    projection_depth: Depth = 3
    projection_width: Size = 2048
    bottleneck: Size = 256
    scaled: bool = False
    centre_decay: Rate = 0.9

    @nn.compact
    def __call__(  # type: ignore[override]  # three arrays, where a ViT has one
        self,
        image: Float[AnyArray, "B height width channels"],
        share: Float[AnyArray, " B"] | None = None,
        frozen: Bool[AnyArray, ""] | bool = False,
        *,
        train: bool,
    ) -> jax.Array | tuple[jax.Array, jax.Array, jax.Array]:
        """The output float32 (B, K), before its softmax; the centre of a teacher's outputs float32 (K,); and the
        representation float32 (B, D).

        Args:
          image: the image or a crop of it, of any size that divides by the patch.
          share: of a teacher in training, what each image counts in the mean that the centre moves towards, which is
            averaged over the devices; None where it stays.
          frozen: whether no gradient goes to the prototypes: in the first epoch.

        Raises:
          UserError: a size that does not divide, or crops of several sizes without `position_grid`.
        """
        if not self.outputs:
            return self.represent(image, train).astype(jnp.float32)
        self._check(image)
        feature = self.represent(image, train)
        if feature.ndim != 2:
            raise UserError("config.model.head=distilled has two tokens, and dino compares one: take token or gap.")
        head = Projection(
            *(self.prototypes, self.projection_depth, self.projection_width, self.bottleneck, self.scaled),
            dtype=jnp.dtype(self.dtype),
            name="projection",
        )
        output = head(feature, frozen)
        centre = self.variable("centre", "mean", jnp.zeros, (self.prototypes,))
        before = centre.value
        if share is not None:
            ahead = jnp.einsum("bk,b->k", output, share) - before * share.sum()
            centre.value = before + (1 - self.centre_decay) * jax.lax.stop_gradient(ahead)
        return output, before, feature.astype(jnp.float32)

    def _check(self, image: Float[AnyArray, "B height width channels"]) -> None:
        side, grid = self.size[1], self.position_grid
        if any(length % side for length in image.shape[1:3]):
            raise UserError(
                f"a view of {image.shape[1]}x{image.shape[2]} does not divide into patches of {side}: change "
                "config.data.image_size, config.data.views.local_size or config.model.patch."
            )
        if self.positions == "learned" and grid is None:
            raise UserError(
                "config.model.position_grid is not set: learned positions of crops of other sizes are interpolated "
                "from those of the global ones, such as (7, 7) of 28 pixels and patches of 4."
            )
        if self.positions in ("learned_2d", "relative"):
            raise UserError(
                f"config.model.positions={self.positions} has no places in crops of another size: take learned, "
                "sinusoid_2d or rotary."
            )


class Projection(nn.Module):
    """MLP, unit vectors, and their products with prototypes (2104.14294, appendix C).

    Attributes:
      prototypes, depth, width, bottleneck, scaled: see Model.
      dtype: of the computation; parameters are float32.
    """

    prototypes: int
    depth: int
    width: int
    bottleneck: int
    scaled: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B D"], frozen: Bool[AnyArray, ""] | bool) -> Float32[Array, "B K"]:
        """The products. frozen: see Model."""
        for layer in range(self.depth):
            width = self.width if layer < self.depth - 1 else self.bottleneck
            x = nn.Dense(width, kernel_init=NORMAL, dtype=self.dtype, name=f"layer_{layer}")(x)
            x = gelu(x) if layer < self.depth - 1 else x
        self.sow("probe", "bottleneck", x)
        # Weight normalisation (1602.07868): the direction of each prototype, and its length.
        direction = self.param("direction", NORMAL, (self.bottleneck, self.prototypes))
        length = self.param("length", nn.initializers.ones, (self.prototypes,))
        if not self.scaled:
            length = jax.lax.stop_gradient(length)
        kernel = unit(direction.T).T * length
        kernel = jnp.where(frozen, jax.lax.stop_gradient(kernel), kernel).astype(self.dtype)
        return product("bo,ok->bk", unit(x), kernel)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    small = {"prototypes": 32, "projection_width": 16, "bottleneck": 8}
    return vit.debug(section) | small | ({"position_grid": (4, 4)} if section.get("position_grid") else {})
