"""CLIP (2103.00020) and SigLIP (2303.15343): a Transformer for images and one for texts, which learn that what belongs
together is alike.

B images, N texts, T tokens, D width of the images' tower, E width of what is compared, V vocabulary. The towers are in
models/clip_towers.py.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int
from pydantic import PositiveFloat, PositiveInt

from errors import UserError
from lookup import Depth, Rate, Size
from models import resnet, sizes, variants
from models.arrays import AnyArray
from models.clip_towers import Blocks, Form, ImageTower, TextTower
from models.encoder import Activation, Remat
from models.kernel_choice import Kernel
from models.vit import Stem

SCALE = {"clip": float(np.log(1 / 0.07)), "siglip": float(np.log(10))}  # its log at the beginning
BIAS = -10.0  # at the beginning, of SigLIP (section 3.2)
VARIANTS = {
    form: {f"{name}/{patch}": row | {"patch": patch} for name, row in table.items() for patch in sizes.CLIP_PATCHES}
    for form, table in sizes.CLIP.items()
}


class Embedded(NamedTuple):
    """What images and texts are to the model.

    Attributes:
      image: (B, E), of length 1.
      text: (N, E), of length 1.
      scale: what similarities are multiplied by, the inverse of a temperature.
      bias: what is added to them then; 0 of CLIP.
    """

    image: Float32[Array, "B E"]
    text: Float32[Array, "N E"]
    scale: Float32[Array, ""]
    bias: Float32[Array, ""]


@dataclass(frozen=True)
class Sizes(variants.Sizes):
    """Those of both towers, E, and the side of a patch."""

    text_width: int
    text_depth: int
    text_mlp_dim: int
    text_heads: int
    embedding: int
    patch: int


class Model(nn.Module):
    """Two towers of pre-LN blocks.

    CLIP: images by a class token, with a LayerNorm before the blocks and no bias of the patches; texts from left to
    right, by their last token; both then by a matrix to E. SigLIP: images by attention pooling, texts seen from both
    sides, padding too, by the last token of the row and a dense layer; a bias beside the scale.

    Attributes:
      outputs: V; 0 leaves texts out and returns the representation of images.
      form: "clip" or "siglip".
      variant: "B/32", "B/16", "L/14" of CLIP; "B/16", "L/16", "So400m/14" of SigLIP; "" when all sizes are given.
      width, depth, mlp_dim, heads: of the images' tower; replace the variant's.
      patch: the side of a patch in pixels; replaces the variant's.
      text_width, text_depth, text_mlp_dim, text_heads: of the texts' tower; replace the variant's.
      embedding: E; replaces the variant's. Of SigLIP that of images is their width.
      stem: the root of a ResNet before the patches, "imagenet" or "cifar", which are then patches of its features:
        see models/vit.py. Not in the papers; it helps where there are few images.
      stem_depths: the number of units in each stage of the stem.
      stem_width: of the stem's root and first bottleneck.
      max_length: the most tokens of a text.
      dropout: on embeddings and on the output of each branch, in both towers.
      stochastic_depth: the probability that a branch of the images' last layer is dropped: see Encoder.
      activation: of the MLPs: SigLIP's is gelu_tanh.
      norm_epsilon: what LayerNorm adds to the variance: SigLIP's is 1e-6.
      scan: whether to compile one block and loop over the layers: see Encoder of models/encoder.py.
      remat: what the backward pass computes again: see Encoder.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and what is returned are float32.
    """

    outputs: int
    form: Form = "clip"
    variant: str = ""
    width: Size | None = None
    depth: Depth | None = None
    mlp_dim: Size | None = None
    heads: Size | None = None
    patch: Size | None = None
    text_width: Size | None = None
    text_depth: Depth | None = None
    text_mlp_dim: Size | None = None
    text_heads: Size | None = None
    embedding: Size | None = None
    stem: Stem = "none"
    stem_depths: tuple[PositiveInt, ...] = ()
    stem_width: Size = sizes.RESNET_WIDTH
    max_length: Size = 77
    dropout: Rate = 0.0
    stochastic_depth: Rate = 0.0
    activation: Activation = "gelu_quick"
    norm_epsilon: PositiveFloat = 1e-5
    scan: bool = False
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> Sizes:
        """The sizes of the variant, each replaced where it is given."""
        given = {name: getattr(self, name) for name in Sizes.__dataclass_fields__}
        fields = variants.sizes(self.variant, VARIANTS[self.form], **given)
        variants.split_by_heads(fields)
        variants.split_by_heads(fields, "text_")
        if self.form == "siglip" and fields["embedding"] != fields["width"]:
            raise UserError(
                f"config.model.embedding={fields['embedding']}: SigLIP compares images by their width, "
                f"{fields['width']}."
            )
        return Sizes(**fields)

    def grid(self, image: Float[AnyArray, "B height width channels"]) -> tuple[int, int]:
        """Rows and columns of an image's patches.

        Raises:
          UserError: an image that does not divide into patches.
        """
        side = self.size.patch
        if self.stem != "none":
            side *= resnet.stride(self.stem, tuple(self.stem_depths))
        return variants.patch_grid(image, side)

    @nn.compact
    def __call__(
        self,
        image: Float[AnyArray, "B height width channels"],
        tokens: Int[AnyArray, "N T"] | None = None,
        *,
        train: bool,
    ) -> Embedded | Float32[Array, "B D"]:
        """Images and texts as they are compared; of a model without outputs the representation of images.

        Args:
          tokens: each row ends in EOS, and SigLIP's is as long as its positions.

        Raises:
          UserError: more tokens than positions (of SigLIP fewer, too), or an image that does not divide into patches.
        """
        size = self.size
        tower = ImageTower(
            self._blocks("", self.stochastic_depth),
            size.patch,
            self.form,
            self.stem,
            tuple(self.stem_depths),
            self.stem_width,
            name="image",
        )
        seen = tower(image, self.grid(image), train=train)
        self.sow("probe", "representation", seen)
        if not self.outputs or tokens is None:
            return seen.astype(jnp.float32)
        project = partial(nn.Dense, size.embedding, dtype=jnp.dtype(self.dtype))
        if self.form == "clip":
            init = nn.initializers.normal(size.width**-0.5)
            seen = project(use_bias=False, kernel_init=init, name="image_projection")(seen)
        said = TextTower(self._blocks("text_"), self.outputs, self.max_length, self.form, name="text")(
            tokens, train=train
        )
        init = nn.initializers.normal(size.text_width**-0.5)
        said = project(use_bias=self.form == "siglip", kernel_init=init, name="text_projection")(said)
        scale, bias = self.param("scale", nn.initializers.constant(SCALE[self.form]), ()), jnp.zeros(())
        if self.form == "siglip":
            bias = self.param("bias", nn.initializers.constant(BIAS), ())
        else:
            # Beyond the end the gradient still reaches it: it can come back.
            scale -= jax.lax.stop_gradient(jnp.maximum(scale - sizes.CLIP_HOTTEST, 0))
        return Embedded(_unit(seen), _unit(said), jnp.exp(scale), bias)

    def _blocks(self, prefix: str, stochastic_depth: float = 0.0) -> Blocks:
        """The blocks of one tower. prefix: of its sizes."""
        size = self.size
        return Blocks(
            width=getattr(size, f"{prefix}width"),
            depth=getattr(size, f"{prefix}depth"),
            mlp_dim=getattr(size, f"{prefix}mlp_dim"),
            heads=getattr(size, f"{prefix}heads"),
            dropout=self.dropout,
            stochastic_depth=stochastic_depth,
            activation=self.activation,
            norm_epsilon=self.norm_epsilon,
            scan=self.scan,
            remat=self.remat,
            kernel=self.kernel,
            dtype=self.dtype,
        )


def _unit(x: Float[Array, "N E"]) -> Float32[Array, "N E"]:
    """Rows of length 1; one of zeros, as only a broken model has, stays so."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), 1e-24))


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    size = {"width": 16, "depth": 1, "mlp_dim": 32, "heads": 2}
    patch = 1 if section.get("stem", "none") != "none" else 8
    texts = {f"text_{key}": value for key, value in size.items()}
    return size | texts | {"embedding": 16, "patch": patch, "max_length": min(section.get("max_length", 16), 16)}
