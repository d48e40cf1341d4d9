"""The Swin Transformer (2103.14030) and Swin V2 (2111.09883): attention within windows, over maps that shrink.

B batch, R rows and C columns of a map, D width of a stage, H heads, K head size, N tokens of a window, W windows of a
map, M of all maps.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int
from pydantic import PositiveInt

from errors import UserError
from lookup import Rate, Size
from models import paths, sizes, variants
from models.arrays import AnyArray
from models.attention import Heads, Initialisers, together
from models.encoder import Mlp, Remat, constrain, layer_norm, rematerialised
from models.kernel_choice import Kernel
from models.kernels import Dropout, attention, attention_weights, dropped, weighted_values
from models.masks import Mask

MERGED = 2  # rows and columns that become one in the next stage
EPSILON = 1e-5
LARGEST_SCALE = 100.0  # of V2's cosines
REACH = 8.0  # V2's distances are scaled to this before their logarithm is taken
BIAS_WIDTH, LARGEST_BIAS = 512, 16.0  # of V2's network of biases
NORMAL = nn.initializers.truncated_normal(0.02)
INITIALISERS = Initialisers(NORMAL, NORMAL, nn.initializers.zeros)
Version = Literal["1", "2"]
Padding = Literal["masked", "zeros"]
Side = Annotated[int, Interval(ge=1, le=1024)]  # of a window: V1 has a parameter for each offset within it


@dataclass(frozen=True)
class Sizes:
    """The width of the first stage, and the layers of each."""

    width: int
    depths: tuple[int, ...]


class Windows(NamedTuple):
    """How a map is cut into windows.

    Attributes:
      side: rows and columns of a window: no more than the map has.
      shift: by how many rows and columns the windows are moved; 0 along a side that one window covers.
      padded: rows and columns of the map with what fills up the last windows.
    """

    side: tuple[int, int]
    shift: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, grid: tuple[int, int], window: int, shifted: bool) -> "Windows":
        """Of a map of so many rows and columns."""
        side = min(window, grid[0]), min(window, grid[1])
        shift = tuple(s // 2 if shifted and g > s else 0 for g, s in zip(grid, side, strict=True))
        padded = tuple(-(-g // s) * s for g, s in zip(grid, side, strict=True))
        return cls(side, (shift[0], shift[1]), (padded[0], padded[1]))

    def cut(self, x: Float[Array, "B R C D"]) -> Float[Array, "M N D"]:
        """The windows of a map, moved and filled up with zeros."""
        x = jnp.pad(x, ((0, 0), *((0, p - g) for p, g in zip(self.padded, x.shape[1:3], strict=True)), (0, 0)))
        if any(self.shift):
            x = jnp.roll(x, (-self.shift[0], -self.shift[1]), (1, 2))
        (rows, columns), (high, wide) = self.padded, self.side
        x = x.reshape(-1, rows // high, high, columns // wide, wide, x.shape[-1])
        return x.swapaxes(2, 3).reshape(-1, high * wide, x.shape[-1])

    def join(self, x: Float[Array, "M N D"], grid: tuple[int, int]) -> Float[Array, "B R C D"]:
        """The map of these windows: what `cut` has made of it, undone."""
        (rows, columns), (high, wide) = self.padded, self.side
        x = x.reshape(-1, rows // high, columns // wide, high, wide, x.shape[-1])
        x = x.swapaxes(2, 3).reshape(-1, rows, columns, x.shape[-1])
        if any(self.shift):
            x = jnp.roll(x, self.shift, (1, 2))
        return x[:, : grid[0], : grid[1]]

    def regions(self, grid: tuple[int, int]) -> Int[np.ndarray, "W N"] | None:
        """For each token of each window the number 1, 2, ... of the region of the map that it comes from, 0 for what
        fills up: tokens attend within their region. None where every window has one region.

        Moved windows at the map's ends hold rows and columns from both ends, which are no neighbours (section 3.2).
        """
        if not any(self.shift) and self.padded == grid:
            return None
        parts = []
        for size, filled, side, shift in zip(grid, self.padded, self.side, self.shift, strict=True):
            place = np.roll(np.arange(filled), -shift)
            ends = (np.arange(filled) >= filled - side) * 1 + (np.arange(filled) >= filled - shift) * 1 if shift else 0
            parts.append(np.where(place < size, ends * np.ones(filled, int), -1))
        row, column = parts
        region = np.where((row[:, None] >= 0) & (column >= 0), 3 * row[:, None] + column + 1, 0)
        (rows, columns), (high, wide) = self.padded, self.side
        region = region.reshape(rows // high, high, columns // wide, wide)
        return region.swapaxes(1, 2).reshape(-1, high * wide).astype(np.int32)


def offsets(side: tuple[int, int], window: tuple[int, int]) -> Int[np.ndarray, "N N"]:
    """Where in a table of all offsets of rows and columns within `window` that of each pair of a window's tokens is."""
    row, column = np.divmod(np.arange(side[0] * side[1]), side[1])
    across = column[:, None] - column + window[1] - 1
    return (row[:, None] - row + window[0] - 1) * (2 * window[1] - 1) + across


class TableBias(nn.Module):
    """A learned bias for each offset and head (section 3.2, equation 4).

    Attributes:
      heads: H.
      window: the side of the largest window.
    """

    heads: int
    window: int

    @nn.compact
    def __call__(self, side: tuple[int, int]) -> Float[Array, "1 H N N"]:
        """Of all pairs of tokens of a window of this side."""
        table = self.param("embedding", NORMAL, ((2 * self.window - 1) ** 2, self.heads))
        return table[offsets(side, (self.window, self.window))].transpose(2, 0, 1)[None]


class NetworkBias(nn.Module):
    """V2's bias: a small network of the logarithms of the offset's rows and columns (2111.09883, section 3.3).

    Offsets are shares of the window there is: of a map that is smaller than the largest window, of the map.

    Attributes:
      heads: H.
    """

    heads: int

    @nn.compact
    def __call__(self, side: tuple[int, int]) -> Float[Array, "1 H N N"]:
        """Of all pairs of tokens of a window of this side."""
        shares = [np.arange(1 - length, length) * (REACH / max(length - 1, 1)) for length in side]
        logs = [np.sign(share) * np.log2(np.abs(share) + 1) / np.log2(REACH) for share in shares]
        pairs = np.stack(np.meshgrid(*logs, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
        x = nn.relu(nn.Dense(BIAS_WIDTH, kernel_init=NORMAL, name="expand")(jnp.asarray(pairs)))
        x = nn.Dense(self.heads, use_bias=False, kernel_init=NORMAL, name="contract")(x)
        return LARGEST_BIAS * nn.sigmoid(x)[offsets(side, side)].transpose(2, 0, 1)[None]


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows. V2 attends by the cosine of query and key times a learned scale, and
    its keys have no bias.

    Attributes:
      heads: H.
      window: the side of the largest window.
      version: "1" or "2".
      dropout: on the attention weights.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters are float32.
    """

    heads: int
    window: int
    version: Version = "1"
    dropout: float = 0.0
    kernel: Kernel = "auto"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "M N D"], side: tuple[int, int], region: Int[np.ndarray, "W N"] | None, *, train: bool
    ) -> Float[Array, "M N D"]:
        """Args: side: rows and columns of a window. region: see Windows.regions."""
        width, second = x.shape[-1], self.version == "2"
        heads = partial(Heads, self.heads, width // self.heads, kernel_init=NORMAL, dtype=self.dtype)
        layers = [heads(name=name, use_bias=name != "key" or not second) for name in ("query", "key", "value")]
        query, key, value = together(x, layers)
        if second:
            scale = self.param("scale", nn.initializers.constant(np.log(10.0)), (self.heads,))
            scale = jnp.exp(jnp.minimum(scale, np.log(LARGEST_SCALE)))[:, None].astype(self.dtype)
            query = normalised(query) * scale * query.shape[-1] ** 0.5  # by which all ways of computing it divide
            key = normalised(key)
        of_offsets = NetworkBias(self.heads, name="bias") if second else TableBias(self.heads, self.window, name="bias")
        bias = of_offsets(side)
        mask = None
        if region is not None:
            numbers = jnp.tile(region, (x.shape[0] // len(region), 1))
            mask = Mask(segments=(numbers, numbers))
        dropout = Dropout(self.dropout, self.make_rng("dropout")) if self.dropout and train else None
        if self.is_mutable_collection("probe"):
            allowed = mask.array(x.shape[1], x.shape[1]) if mask else None
            weights = attention_weights(query, key, allowed, bias)
            self.sow("probe", "window_attention", weights)
            y = weighted_values(dropped(weights, dropout), value)
        else:
            y = attention(query, key, value, mask, bias, dropout, kernel=self.kernel)
        return nn.DenseGeneral(width, axis=(-2, -1), kernel_init=NORMAL, dtype=self.dtype, name="out")(y)


def normalised(x: Float[Array, "B N H K"]) -> Float[Array, "B N H K"]:
    """Of length 1 along K, computed in float32."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.maximum(jnp.square(y).sum(-1, keepdims=True), 1e-24))).astype(x.dtype)


class Block(nn.Module):
    """One layer: x + attention(LN(x)), then x + mlp(LN(x)) (equation 3); in V2 x + LN(attention(x)), x + LN(mlp(x)).

    Attributes:
      heads, window, version, attention_dropout, kernel, dtype: see WindowAttention.
      shifted: whether windows are moved by half a window.
      padding: see Model.
      dropout: on the output of each branch, and within the MLP.
      drop_rate: the probability that a branch is dropped (1603.09382).
    """

    heads: int
    window: int
    version: Version
    shifted: bool
    padding: Padding
    dropout: float
    attention_dropout: float
    drop_rate: float
    kernel: Kernel
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B R C D"], train: bool) -> Float[Array, "B R C D"]:
        """The layer's output."""
        grid = x.shape[1], x.shape[2]
        cut = Windows.of(grid, self.window, self.shifted)
        attend = WindowAttention(
            self.heads, self.window, self.version, self.attention_dropout, self.kernel, self.dtype, name="attention"
        )
        mlp = Mlp(4 * x.shape[-1], self.dropout, dtype=self.dtype, initialisers=INITIALISERS, name="mlp")

        def attention(y: jax.Array) -> jax.Array:
            regions = cut.regions(grid if self.padding == "masked" else cut.padded)
            return cut.join(attend(cut.cut(y), cut.side, regions, train=train), grid)

        for name, branch in (("attention", attention), ("mlp", partial(mlp, train=train))):
            if self.version == "1":
                y = branch(layer_norm(self.dtype, f"{name}_norm", EPSILON)(x))
            else:  # at 0, so that a deep model begins as the identity
                scale = nn.initializers.zeros
                y = nn.LayerNorm(EPSILON, scale_init=scale, dtype=self.dtype, name=f"{name}_norm")(branch(x))
            y = nn.Dropout(self.dropout, deterministic=not train)(y)
            x = x + nn.Dropout(self.drop_rate, broadcast_dims=(1, 2, 3), deterministic=not train)(y)
        x = constrain(x)
        self.sow("probe", "output", x)
        return x


class Merging(nn.Module):
    """Four neighbours become one of twice the width (section 3.1). V2 normalises after its linear layer, not before.

    Attributes:
      version: "1" or "2".
      dtype: of the computation; parameters are float32.
    """

    version: Version
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B R C D"]) -> Float[Array, "B r c E"]:
        """A map of half the rows and columns, E = 2 D wide; odd ones are filled up with zeros."""
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        # In the published order: down before right.
        x = jnp.concatenate([x[:, i::MERGED, j::MERGED] for j in range(MERGED) for i in range(MERGED)], axis=-1)
        dense = nn.Dense(x.shape[-1] // 2, use_bias=False, kernel_init=NORMAL, dtype=self.dtype, name="reduction")
        norm = layer_norm(self.dtype, "norm", EPSILON)
        return dense(norm(x)) if self.version == "1" else norm(dense(x))


class Trunk(nn.Module):
    """Patches and stages.

    Attributes: see Model.
    """

    width: int
    depths: tuple[int, ...]
    head_dim: int
    window: int
    patch: int
    version: Version
    padding: Padding
    dropout: float
    attention_dropout: float
    stochastic_depth: float
    remat: Remat
    kernel: Kernel
    dtype: DTypeLike

    @nn.compact
    def __call__(self, image: Float[AnyArray, "B height width channels"], *, train: bool) -> list[jax.Array]:
        """The map after each stage, (B, R, C, D): of stride `patch` with the width, of twice both, and so on."""
        side = self.patch
        # What does not fill a patch is filled up with zeros.
        image = jnp.pad(image, ((0, 0), (0, -image.shape[1] % side), (0, -image.shape[2] % side), (0, 0)))
        lecun = nn.initializers.lecun_normal()
        x = nn.Conv(*(self.width, (side, side), side, "VALID"), kernel_init=lecun, dtype=self.dtype, name="embedding")(
            image.astype(self.dtype)
        )
        x = layer_norm(self.dtype, "embedding_norm", EPSILON)(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        rates = iter(np.linspace(0, self.stochastic_depth, sum(self.depths)).tolist())
        block = rematerialised(Block, self.remat, static_argnums=(2,))
        maps = []
        for stage, depth in enumerate(self.depths):
            if stage:
                x = Merging(self.version, self.dtype, name=f"merging_{stage}")(x)
            heads = x.shape[-1] // self.head_dim
            for number in range(depth):
                x = block(
                    *(heads, self.window, self.version, number % 2 == 1, self.padding),
                    *(self.dropout, self.attention_dropout, next(rates), self.kernel, self.dtype),
                    name=paths.unit(stage, number),
                )(x, train)
            maps.append(x)
        return maps


class Model(nn.Module):
    """Trunk, LayerNorm, mean over the map, one linear layer.

    Attributes:
      outputs: C; 0 leaves the head out and returns the representation.
      variant: "T", "S", "B" or "L"; "" when width and depths are given.
      width: D of the first stage; each next one has twice as much. Replaces the variant's.
      depths: the number of layers in each stage; replaces the variant's.
      head_dim: K, in all stages.
      window: the side of a window, in patches; of a smaller map it is all.
      padding: what fills up a map whose sides the window does not divide: it is "masked", or its "zeros" are attended
        to, as in the published code.
      patch: the side of a patch in pixels.
      version: "1", or "2" of 2111.09883 (whose T has a window of 8 or 16 for images of 256 pixels).
      dropout: on patches and on the output of each branch, and within MLPs.
      attention_dropout: on the attention weights.
      stochastic_depth: the probability that a branch of the last layer is dropped. It falls linearly to 0 at the first
        (1603.09382).
      remat: what the backward pass of each layer computes again: see Encoder of models/encoder.py.
      kernel: how attention is computed: see models/kernel_choice.py.
      dtype: of the computation; parameters and logits are float32.
    """

    outputs: int
    variant: str = ""
    width: Size | None = None
    depths: tuple[PositiveInt, ...] | None = None
    head_dim: Size = 32
    window: Side = 7
    patch: Size = 4
    version: Version = "1"
    padding: Padding = "masked"
    dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    stochastic_depth: Rate = 0.0
    remat: Remat = "none"
    kernel: Kernel = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def size(self) -> Sizes:
        """The sizes of the variant, each replaced where it is given."""
        variants.check(self.variant, sizes.SWIN)
        width, depths = sizes.SWIN.get(self.variant, (None, None))
        width, depths = self.width or width, self.depths or depths
        if width is None or depths is None:
            name = "width" if width is None else "depths"
            raise UserError(f"config.model.{name} is not set: set it, or config.model.variant.")
        if width % self.head_dim:
            raise UserError(f"config.model.width={width} does not divide by head_dim={self.head_dim}.")
        return Sizes(width, tuple(depths))

    @nn.compact
    def __call__(self, image: Float[AnyArray, "B height width channels"], *, train: bool) -> Float32[Array, "B C"]:
        """The logits of an image of any size."""
        x = self.trunk()(image, train=train)[-1]
        x = layer_norm(jnp.dtype(self.dtype), "norm", EPSILON)(x).mean((1, 2))
        self.sow("probe", "representation", x)
        if self.outputs:
            x = nn.Dense(self.outputs, kernel_init=nn.initializers.zeros, dtype=jnp.dtype(self.dtype), name="head")(x)
        return x.astype(jnp.float32)

    def trunk(self) -> Trunk:
        """The stages, for what reads their maps. Called from a compact method."""
        size = self.size
        return Trunk(
            *(size.width, size.depths, self.head_dim, self.window, self.patch, self.version, self.padding),
            *(self.dropout, self.attention_dropout, self.stochastic_depth, self.remat, self.kernel),
            jnp.dtype(self.dtype),
            name="trunk",
        )


def debug(section: dict) -> dict:
    """What `:debug` changes in config.model, for a model that takes a step in milliseconds."""
    del section
    return {"width": 8, "depths": (2, 2), "head_dim": 4, "window": 2}
