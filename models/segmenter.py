"""Segmenter (2105.05633): a ViT whose patches are classified, by a linear layer or by a mask decoder.

B batch, N patches, R rows and columns of them, D width, C classes.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from lookup import Depth
from models import paths, vit
from models.arrays import AnyArray
from models.encoder import Block, layer_norm, rematerialised

NORMAL = nn.initializers.truncated_normal(0.02)


class Model(vit.Model):
    """A ViT, whose parameters a classifier's can be (config.init_from), and a decoder, `head`.

    Attributes:
      outputs: C; 0 returns the representation of the whole image, as a ViT does.
      decoder: "linear" (section 3.2.1) | "mask": C learned tokens attend with the patches to all, and a patch's logits
        are its products with theirs (section 3.2.2).
      decoder_depth: layers of the mask decoder, which are of the encoder's width and heads.
    """

    decoder: Literal["linear", "mask"] = "mask"
    decoder_depth: Depth = 2

    @nn.compact
    def __call__(self, image: Float[AnyArray, "B height width channels"], *, train: bool) -> Float32[Array, "B ... C"]:
        """The logits of each pixel, (B, height, width, C): those of its patch, interpolated.

        Args:
          image: of any size that divides by the patch.

        Raises:
          UserError: a size that does not.
        """
        if not self.outputs:
            return self.represent(image, train).astype(jnp.float32)
        size, dtype, grid = self.size[0], jnp.dtype(self.dtype), self.grid(image)
        x = self.encode(self.embed(image, train), train, grid)[:, self.extra :]
        if self.decoder == "linear":
            x = nn.Dense(self.outputs, kernel_init=NORMAL, dtype=dtype, name="head")(x)
        else:
            block = partial(
                rematerialised(Block, self.remat, static_argnums=(4,)),
                size.heads,
                size.mlp_dim,
                norm_epsilon=self.norm_epsilon,
                dropout=self.dropout,
                attention_dropout=self.attention_dropout,
                mlp_dropout=self.dropout,
                activation=self.activation,
                kernel=self.kernel,
                dtype=dtype,
            )
            x = MaskDecoder(self.outputs, self.decoder_depth, block, self.norm_epsilon, dtype, name="head")(x, train)
        x = x.reshape(x.shape[0], *grid, self.outputs)
        return enlarged(x, image.shape[1:3])


class MaskDecoder(nn.Module):
    """Logits of patches by products with tokens of classes (section 3.2.2).

    Attributes:
      classes: C.
      depth: layers.
      block: makes a layer.
      norm_epsilon: what LayerNorm adds to the variance.
      dtype: of the computation; parameters are float32.
    """

    classes: int
    depth: int
    block: partial[nn.Module]
    norm_epsilon: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"], train: bool) -> Float[Array, "B N C"]:
        """The logits of the patches."""
        width = x.shape[-1]
        x = nn.Dense(width, kernel_init=NORMAL, dtype=self.dtype, name="embedding")(x)
        tokens = self.param("classes", NORMAL, (1, self.classes, width)).astype(self.dtype)
        x = jnp.concatenate([x, jnp.tile(tokens, (x.shape[0], 1, 1))], axis=1)
        for layer in range(self.depth):
            x, _ = self.block(name=paths.block(layer))(x, jnp.zeros(()), None, train)
        x = layer_norm(self.dtype, "norm", self.norm_epsilon)(x)
        scaled = nn.initializers.normal(width**-0.5)
        project = partial(nn.Dense, width, use_bias=False, kernel_init=scaled, dtype=self.dtype)
        patches = unit(project(name="patches")(x[:, : -self.classes]))
        classes = unit(project(name="tokens")(x[:, -self.classes :]))
        masks = jnp.einsum("BND,BCD->BNC", patches, classes)
        self.sow("probe", "masks", masks)
        return layer_norm(self.dtype, "mask_norm", 1e-5)(masks)


def unit(x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
    """Of length 1 along D, computed in float32."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.maximum(jnp.square(y).sum(-1, keepdims=True), 1e-12))).astype(x.dtype)


def enlarged(x: Float[Array, "B R C D"], size: tuple[int, ...]) -> Float32[Array, "B height width D"]:
    """A map of another size, interpolated bilinearly between its neighbours, in float32."""
    return jax.image.resize(x.astype(jnp.float32), (x.shape[0], *size, x.shape[-1]), "bilinear", antialias=False)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    return vit.debug(section) | {"decoder_depth": 1}
