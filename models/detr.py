"""DETR (2005.12872): an image becomes a set of boxes with classes; and what later made it learn quickly.

B batch, Q queries, M boxes of an image, G groups of noised ones, N = G M, S places of all maps, D width, C classes, L
layers of the decoder.
"""

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int
from pydantic import NonNegativeInt

from errors import UserError
from lookup import Depth, Rate, Size
from models import boxes as geometry
from models import paths
from models.arrays import AnyArray
from models.attention import XAVIER
from models.boxes import Detections
from models.detection_attention import (
    ConditionalAttention,
    DeformableAttention,
    Kind,
    PlacedAttention,
    sinusoids,
    sinusoids_2d,
)
from models.detection_maps import EPSILON, Image, in_sequence
from models.encoder import Mlp, Remat, constrain, layer_norm, rematerialised
from models.kernel_choice import Kernel
from models.trunks import Strides, Trunk

RARE = 0.01  # the probability of each class that sigmoids begin with (1708.02002, section 4.1)
BOX_NOISE, LABEL_NOISE = 0.4, 0.2  # of denoising: shares of a box's sides, and of labels that are others (2203.01305)
ANCHOR = 0.2  # sides of the first anchors, as a share of the image


class Layer(nn.Module):
    """One layer after its attention: x + f(x), normalised after each sum, as published.

    Attributes:
      heads: H.
      mlp_dim: F.
      dropout: on the output of each branch, on attention weights and within the MLP.
      attention: of the decoder to the image; "" in the encoder, which has none.
      kernel, dtype: see Model.
    """

    heads: int
    mlp_dim: int
    dropout: float
    attention: Kind | Literal[""]
    kernel: Kernel
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B Q D"],
        place: Float[Array, "#B Q D"],
        seen: Bool[AnyArray, "..."] | None,
        image: Image | None,
        box: Float[Array, "B Q 4"] | None,
        train: bool,
    ) -> Float[Array, "B Q D"]:
        """The layer's output.

        Args:
          seen: which of the others each x may look at, broadcastable to (B, H, Q, Q).
          image: what the decoder looks at; None in the encoder.
          box: of each x, where attention goes by boxes; None otherwise.
        """
        drop = nn.Dropout(self.dropout, deterministic=not train)
        norm = partial(layer_norm, self.dtype, epsilon=EPSILON)
        placed = partial(
            PlacedAttention, x.shape[-1], self.heads, dropout=self.dropout, kernel=self.kernel, dtype=self.dtype
        )
        x = norm("attention_norm")(x + drop(placed(name="attention")(x, x, place, place, seen, train=train)))
        if image is not None:
            if self.attention == "plain":
                cross = placed(name="cross_attention")(x, image.memory, place, image.place, image.mask, train=train)
            elif self.attention == "conditional":
                assert box is not None
                spot = sinusoids_2d(box[..., 0], box[..., 1], x.shape[-1])
                attend = ConditionalAttention(self.heads, self.kernel, self.dtype, name="cross_attention")
                cross = attend(x + place, image.memory, spot, image.place, image.mask)
            else:
                assert box is not None
                looking = DeformableAttention(self.heads, self.dtype, name="cross_attention")
                cross = looking(x + place, image.memory, box, image.grids, image.extent, image.mask)
            x = norm("cross_attention_norm")(x + drop(cross))
        mlp = Mlp(self.mlp_dim, self.dropout, "relu", self.dtype, name="mlp")
        x = constrain(norm("mlp_norm")(x + drop(mlp(x, train=train))))
        self.sow("probe", "output", x)
        return x


class BoxHead(nn.Module):
    """Three linear layers, D -> 4.

    Attributes:
      dtype: of the computation; parameters are float32.
      still: whether it begins with 0, as what is added to an anchor.
    """

    dtype: DTypeLike
    still: bool

    @nn.compact
    def __call__(self, x: Float[Array, "B Q D"]) -> Float32[Array, "B Q 4"]:
        """The box before the sigmoid, or what is added to an anchor's."""
        for number in range(2):
            x = nn.relu(nn.Dense(x.shape[-1], kernel_init=XAVIER.kernel, dtype=self.dtype, name=f"hidden_{number}")(x))
        first = nn.initializers.zeros if self.still else XAVIER.kernel
        return nn.Dense(4, kernel_init=first, dtype=self.dtype, name="out")(x).astype(jnp.float32)


class Model(nn.Module):
    """Trunk, encoder, decoder, heads.

    With the defaults it is DETR as published (with trunk.variant=50, trunk.norm=frozen, R50's 41,524,768 parameters).
    What makes it converge in minutes on little data: attention=deformable, queries_from=image, denoising=3, strides of
    several maps, no_object=False.

    Attributes:
      outputs: C.
      trunk: what makes the maps: see models/trunks.py.
      strides: of the maps that are looked at.
      width: D.
      encoder_depth: layers of self-attention over all places of the maps; 0 for none.
      decoder_depth: L.
      heads: H.
      mlp_dim: F.
      queries: Q.
      queries_from: "learned" as published; "anchors": learned boxes that each layer corrects (2201.12329); "image": the
        places of the maps that are most likely objects give the boxes (2010.04159, section 4.2).
      attention: how the decoder looks at the image: "plain" as published; "conditional", content and place apart
        (2108.06152); "deformable", at points around the query's box (2010.04159). The last two need boxes.
      denoising: G groups of the true boxes, noised, that the decoder learns to mend beside its own (2203.01305); 0 for
        none.
      no_object: whether "no object" is a class of its own, as published, or each class is judged by itself, by a
        sigmoid and a focal loss.
      dropout: on the output of each branch, on attention weights and within MLPs.
      remat: what the backward pass of trunk, encoder and decoder computes again: see Encoder of models/encoder.py.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and outputs are float32.
    """

    outputs: int
    trunk: Trunk = Trunk()
    strides: Strides = (32,)
    width: Size = 256
    encoder_depth: Annotated[int, Interval(ge=0, le=1000)] = 6
    decoder_depth: Depth = 6
    heads: Size = 8
    mlp_dim: Size = 2048
    queries: Size = 100
    queries_from: Literal["learned", "anchors", "image"] = "learned"
    attention: Kind = "plain"
    denoising: NonNegativeInt = 0
    no_object: bool = True
    dropout: Rate = 0.1
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    def _check(self) -> None:
        """That the keys fit one another.

        Raises:
          UserError: they do not.
        """
        if self.width % self.heads or self.width % 4:
            raise UserError(f"config.model.width={self.width} should divide by 4 and by heads={self.heads}.")
        if self.queries_from == "learned" and (self.attention != "plain" or self.denoising):
            what = "denoising" if self.denoising else f"attention={self.attention}"
            raise UserError(f"config.model.{what} needs queries with boxes: set queries_from to anchors or image.")

    @nn.compact
    def __call__(
        self,
        image: Float[AnyArray, "B height width channels"],
        extent: Float[AnyArray, "B 2"],
        boxes: Float[AnyArray, "B M 4"] | None = None,
        labels: Int[AnyArray, "B M"] | None = None,
        *,
        train: bool,
    ) -> Detections:
        """What there is in the images.

        Args:
          extent: the share of height and width, from the top left, that is image and no padding.
          boxes, labels: the truth, which is noised in training: boxes as data sets have them (ymin, xmin, ymax, xmax),
            labels with -1 for no box.
        """
        self._check()
        dtype = jnp.dtype(self.dtype)
        maps = self.trunk.maps(image, self.strides, train=train, remat=self.remat, kernel=self.kernel, dtype=dtype)
        layer_of = rematerialised(Layer, self.remat, static_argnums=(6,))
        several = self.attention != "plain"
        seen = in_sequence(self, maps, jnp.asarray(extent), image.shape[1:3], self.width, several, dtype)
        for number in range(self.encoder_depth):
            layer = layer_of(
                *(self.heads, self.mlp_dim, self.dropout, "", self.kernel, dtype),
                name=f"encoder_{paths.block(number)}",
            )
            seen = replace(seen, memory=layer(seen.memory, seen.place, seen.mask, None, None, train))
        class_head = self._class_head("class_head")
        proposed = None
        batch = image.shape[0]
        x = jnp.zeros((batch, self.queries, self.width), dtype)
        anchor: jax.Array | None = None
        place = jnp.zeros((1, 1, self.width), dtype)
        if self.queries_from == "learned":
            table = self.param("queries", nn.initializers.normal(1.0), (self.queries, self.width))
            place = table[None].astype(dtype)
        else:
            table = self.param("content", nn.initializers.normal(1.0), (self.queries, self.width))
            x = x + table.astype(dtype)
            if self.queries_from == "anchors":
                first = self.param("anchors", _spread, (self.queries, 4))
                anchor = jnp.broadcast_to(first, (batch, self.queries, 4))
            else:
                proposed, anchor = self._propose(seen)
        mask = None
        if self.denoising and self.is_initializing():
            self._label_embedding()(jnp.zeros((1,), int))
        if self.denoising and train and boxes is not None and labels is not None:
            assert anchor is not None
            x, anchor, mask = self._noised(x, anchor, jnp.asarray(boxes), jnp.asarray(labels))
        box_head = BoxHead(dtype, anchor is not None, name="box_head")
        place_head = [nn.Dense(self.width, dtype=dtype, name=f"place_{i}") for i in range(2)]
        norm = layer_norm(dtype, "norm", EPSILON)
        logits, found = [], []
        for number in range(self.decoder_depth):
            box = None
            if anchor is not None:
                box = jax.nn.sigmoid(anchor)
                waves = sinusoids(box, self.width // 2).reshape(*box.shape[:2], -1).astype(dtype)
                place = place_head[1](nn.relu(place_head[0](waves)))
            layer = layer_of(
                *(self.heads, self.mlp_dim, self.dropout, self.attention, self.kernel, dtype),
                name=f"decoder_{paths.block(number)}",
            )
            x = layer(x, place, mask, seen, box, train)
            y = norm(x)
            logits.append(class_head(y).astype(jnp.float32))
            moved = box_head(y)
            if anchor is not None:
                moved = anchor + moved
                anchor = jax.lax.stop_gradient(moved)
            found.append(jax.nn.sigmoid(moved))
        own = slice(None, self.queries), slice(self.queries, None)
        all_logits, all_boxes = jnp.stack(logits), jnp.stack(found)
        noised = None if mask is None else (all_logits[:, :, own[1]], all_boxes[:, :, own[1]])
        return Detections(all_logits[:, :, own[0]], all_boxes[:, :, own[0]], noised, proposed, self.no_object)

    def _class_head(self, name: str) -> nn.Dense:
        """A linear layer to the classes. Where each is judged by itself, all are rare at first."""
        rare = nn.initializers.zeros if self.no_object else nn.initializers.constant(-np.log((1 - RARE) / RARE))
        return nn.Dense(self.outputs + self.no_object, bias_init=rare, dtype=jnp.dtype(self.dtype), name=name)

    def _propose(
        self, image: Image
    ) -> tuple[tuple[Float32[Array, "1 B S C"], Float32[Array, "1 B S 4"]], Float32[Array, "B Q 4"]]:
        """What each place of the maps says is there, and the boxes of the Q likeliest, before the sigmoid."""
        dtype = jnp.dtype(self.dtype)
        places = sum(rows * columns for rows, columns in image.grids)
        if places < self.queries:
            raise UserError(f"config.model.queries={self.queries}: the maps have {places} places; take fewer queries.")
        x = nn.Dense(self.width, dtype=dtype, name="proposal")(image.memory)
        x = layer_norm(dtype, "proposal_norm", EPSILON)(x)
        logits = self._class_head("proposal_class_head")(x).astype(jnp.float32)
        sides = jnp.full_like(image.middle, ANCHOR)
        first = geometry.logit(jnp.concatenate([image.middle, sides], axis=-1))
        found = first + BoxHead(dtype, True, name="proposal_box_head")(x)
        inside = image.mask[:, 0, 0]
        likeness = jax.nn.softmax(logits)[..., :-1].max(-1) if self.no_object else logits.max(-1)
        _, best = jax.lax.top_k(jnp.where(inside, likeness, -jnp.inf), self.queries)
        anchor = jnp.take_along_axis(found, best[..., None], axis=1)
        logits = jnp.where(inside[..., None], logits, jax.lax.stop_gradient(logits))
        return (logits[None], jax.nn.sigmoid(found)[None]), jax.lax.stop_gradient(anchor)

    def _label_embedding(self) -> nn.Embed:
        return nn.Embed(self.outputs + 1, self.width, name="label_embedding")

    def _noised(
        self,
        x: Float[Array, "B Q D"],
        anchor: Float[Array, "B Q 4"],
        boxes: Float[Array, "B M 4"],
        labels: Int[Array, "B M"],
    ) -> tuple[Float[Array, "B T D"], Float[Array, "B T 4"], Bool[Array, "B 1 T T"]]:
        """The queries with the noised ones after them, and who may look at whom: nobody at a noised box but its own
        group."""
        groups, (batch, count) = self.denoising, labels.shape
        keys = jax.random.split(self.make_rng("dropout"), 4)
        labels, truth = jnp.tile(labels, (1, groups)), jnp.tile(geometry.centred(boxes), (1, groups, 1))
        other = jax.random.randint(keys[0], labels.shape, 0, self.outputs)
        changed = jax.random.bernoulli(keys[1], LABEL_NOISE, labels.shape)
        there = labels >= 0
        named = jnp.where(there, jnp.where(changed, other, labels), self.outputs)
        shift = jax.random.uniform(keys[2], (*labels.shape, 2), minval=-1, maxval=1) * BOX_NOISE / 2
        factor = 1 + jax.random.uniform(keys[3], (*labels.shape, 2), minval=-1, maxval=1) * BOX_NOISE
        noised = jnp.concatenate([truth[..., :2] + shift * truth[..., 2:], truth[..., 2:] * factor], axis=-1)
        content = self._label_embedding()(named).astype(x.dtype)
        group = jnp.concatenate([jnp.zeros(self.queries, int), jnp.repeat(jnp.arange(groups) + 1, count)])
        same = (group[:, None] == group) | (group == 0)
        present = jnp.concatenate([jnp.ones((batch, self.queries), bool), there], axis=1)
        allowed = (same & present[:, None, :]) | jnp.eye(len(group), dtype=bool)
        anchor = jnp.concatenate([anchor, geometry.logit(jnp.clip(noised, 0, 1))], axis=1)
        return jnp.concatenate([x, content], axis=1), anchor, allowed[:, None]


def _spread(key: jax.Array, shape: tuple[int, int]) -> Float32[Array, "Q 4"]:
    """Anchors, before the sigmoid, whose middles lie evenly over the image."""
    del key
    ratio = (np.arange(shape[0]) + 0.5) / shape[0]
    golden = (np.arange(shape[0]) * (np.sqrt(5) - 1) / 2) % 1  # the other coordinate, of few-point sequences
    sides = np.full(shape[0], ANCHOR)
    return geometry.logit(jnp.asarray(np.stack([ratio, golden, sides, sides], axis=-1), jnp.float32))


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    trunk = dict(name="residual", width=8, depths=(1, 1), root="small", variant="", norm="group", bottleneck=False)
    return {
        "trunk": section.get("trunk", {}) | trunk,
        "strides": (4,) if len(section.get("strides", (32,))) == 1 else (2, 4),
        "width": 16,
        "encoder_depth": 1,
        "decoder_depth": 2,
        "heads": 2,
        "mlp_dim": 32,
        "queries": 8,
    }
