"""VideoMAE (2203.12602): the encoder sees a tenth of a clip, a small decoder reconstructs what tubes hide.

B batch, N tubelets, D width, P side of a tubelet.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int32

from errors import UserError
from lookup import Depth, Probability, Size
from models import mae, masking, vivit
from models.arrays import AnyArray
from models.attention import Options
from models.positions import Kind
from models.views import averaged


class Model(vivit.Model):
    """A ViViT of joint attention without a class token, whose parameters a classifier can begin with
    (config.init_from), and a decoder, `reconstruction`.

    Attributes:
      outputs: 0 returns the representation of the whole clip, as a ViViT does.
      masked: the share of places that are hidden, at all times.
      decoder_width: of the decoder, whose MLPs are four times as wide; half the encoder's when None.
      decoder_depth: the number of the decoder's layers.
      decoder_heads: of the decoder; half the encoder's when None.
      last_norm: whether the encoder ends in a LayerNorm, which a classifier has after the mean.
    """

    head: Literal["gap"] = "gap"
    positions: Kind = "sinusoid_1d"
    key_bias: bool = False
    masked: Probability = 0.9
    decoder_width: Size | None = None
    decoder_depth: Depth = 4
    decoder_heads: Size | None = None
    last_norm: bool = True

    @nn.compact
    def __call__(  # type: ignore[override]  # two arrays, where a ViViT has one
        self,
        clip: Float[AnyArray, "B *V frames height width channels"],
        index: Int32[AnyArray, " B"] | None = None,
        *,
        train: bool,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """The reconstructed tubelets, float32 (B, N, frames of one * P * P * channels), and which of them were hidden,
        bool (B, times, rows, columns).

        Args:
          index: the clips' places in their split, which decide outside of training what is hidden of each.

        Raises:
          UserError: a share that hides no place or all, or another attention than joint.
        """
        if not self.outputs:
            return averaged(clip, partial(self.represent, train=train)).astype(jnp.float32)
        if self.attention != "joint":
            raise UserError("config.model.attention=factorised needs whole frames, which VideoMAE hides: take joint.")
        if clip.ndim != 5:
            raise UserError("VideoMAE draws one view of a video: set config.data.eval_clips and eval_crops to 1.")
        x, size = self.tubelets(clip), self.size
        batch, times, rows, columns, width = x.shape
        count = round(self.masked * rows * columns)
        if not 0 < count < rows * columns:
            raise UserError(f"config.model.masked={self.masked} hides {count} of {rows * columns} places of a frame.")
        x = self.place(x.reshape(batch, -1, width), (times * rows, columns), "", train)
        if train:
            places = masking.order(self.make_rng("dropout"), batch, rows * columns)
        else:
            places = jax.vmap(lambda key: masking.order(key, 1, rows * columns)[0])(masking.keys(index, batch))
        order = masking.tubes(places, count, times)
        seen = order[:, : order.shape[1] - count * times, None]
        x = self.encode(jnp.take_along_axis(x, seen, axis=1), "", size["depth"], last_norm=False, train=train)
        decoder = mae.Decoder(
            self.decoder_width or width // 2,
            self.decoder_depth,
            self.decoder_heads or max(1, size["heads"] // 2),
            size["tubelet"] * size["patch"] ** 2 * clip.shape[-1],
            jnp.dtype(self.dtype),
            positions=self.positions,
            embedding_bias=False,
            norm_epsilon=self.norm_epsilon,
            options=Options(key_bias=self.key_bias),
            remat=self.remat,
            kernel=self.kernel,
            name="reconstruction",
        )
        drawn = decoder(self.normalise(x, "") if self.last_norm else x, order, 0, (times * rows, columns), train=train)
        return drawn, masking.hidden(order, count * times).reshape(batch, times, rows, columns)


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    changes = vivit.debug(section)
    del changes["temporal_depth"]
    return changes | {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
