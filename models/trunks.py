"""Trunks for dense tasks: an image becomes maps of features, at strides such as 4, 8, 16, 32.

B batch, R rows and C columns of a map, D its width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from annotated_types import MinLen
from jax.typing import DTypeLike
from jaxtyping import Float
from pydantic import PositiveInt

from errors import UserError
from lookup import Distinct, Rate, Size
from models import residual, resnet, sizes, swin, variants, vit
from models.arrays import AnyArray
from models.encoder import Remat, gelu, layer_norm
from models.kernel_choice import Kernel

Strides = Annotated[tuple[PositiveInt, ...], MinLen(1), Distinct]


class Map(NamedTuple):
    """Features (B, R, C, D) at every `stride`-th pixel of the image."""

    stride: int
    features: jax.Array


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """What makes the maps: a section of a dense model's config.

    Attributes:
      name: "residual" (ResNet as published), "bit" (its later form, models/resnet.py), "swin", or "vit", a plain one
        whose last map becomes a pyramid (2203.16527).
      variant: a published size: "50" or "101" of residual, "R50x1" of bit, "T" of swin, "S/16" of vit; "" when the
        sizes are given.
      width: of a Swin's or ResNet's first stage, or of the whole ViT; replaces the variant's.
      depths: layers of each stage; of a ViT, its one number. Replaces the variant's.
      head_dim: of a Swin's or ViT's heads, where the sizes are given.
      patch: the side of a patch of a Swin or of a ViT in pixels, where the sizes are given.
      window: the side of a Swin's window, in patches.
      version: of Swin: "1", or "2" of 2111.09883.
      padding: of Swin: "masked" or "zeros": see models/swin.py.
      bottleneck: of residual: units of three convolutions, not two, where the sizes are given.
      root: of a ResNet: "imagenet" begins with a quarter of the image's side; "small" with half of it (bit: all of it).
      norm: of residual: batch statistics that stay ("frozen"), that are trained ("batch"), or GroupNorm ("group").
      stochastic_depth: of swin and vit: the probability that a branch of the last layer is dropped.
    """

    name: Literal["residual", "bit", "swin", "vit"] = "residual"
    variant: str = ""
    width: Size | None = None
    depths: tuple[PositiveInt, ...] | None = None
    head_dim: Size = 32
    patch: Size = 4
    window: swin.Side = 7
    version: swin.Version = "1"
    padding: swin.Padding = "masked"
    bottleneck: bool = False
    root: residual.Root = "imagenet"
    norm: residual.NormKind = "group"
    stochastic_depth: Rate = 0.0

    def maps(
        self,
        image: Float[AnyArray, "B height width channels"],
        strides: Sequence[int],
        *,
        train: bool,
        remat: Remat = "none",
        kernel: Kernel = "auto",
        dtype: DTypeLike = jnp.float32,
    ) -> list[Map]:
        """The maps of these strides, the finest first. Called from a compact method, whose module gets a `trunk`.

        Raises:
          UserError: a stride that the trunk does not have.
        """
        with _own_keys():
            there = getattr(self, f"_{self.name}")(image, tuple(sorted(strides)), train, remat, kernel, dtype)
        by_stride = {one.stride: one for one in there}
        for stride in strides:
            if stride not in by_stride:
                raise UserError(
                    f"config.model.trunk.name={self.name} has no features at stride {stride}, but at "
                    f"{', '.join(map(str, sorted(by_stride)))}."
                )
        return [by_stride[stride] for stride in sorted(strides)]

    def _sizes(self, width: int | None, depths: tuple[int, ...] | None) -> tuple[int, tuple[int, ...]]:
        """Those of the variant, each replaced where it is given."""
        width, depths = self.width or width, self.depths or depths
        if width is None or depths is None:
            name = "width" if width is None else "depths"
            raise UserError(f"config.model.{name} is not set: set it, or config.model.variant.")
        return width, tuple(depths)

    def _heads(self, width: int) -> int:
        """How many heads a layer of this width has."""
        if width % self.head_dim:
            raise UserError(f"config.model.width={width} does not divide by head_dim={self.head_dim}.")
        return width // self.head_dim

    def _residual(
        self, image: AnyArray, strides: tuple[int, ...], train: bool, remat: Remat, kernel: Kernel, dtype: DTypeLike
    ) -> list[Map]:
        del strides, kernel
        variants.check(self.variant, sizes.RESNET_DEPTHS)
        known = sizes.RESNET_DEPTHS.get(self.variant)
        width, depths = self._sizes(sizes.RESNET_WIDTH if known else None, known)
        bottleneck = self.bottleneck or known is not None
        trunk = residual.Trunk(depths, width, bottleneck, self.root, self.norm, remat, dtype, name="trunk")
        return _doubling(4 if self.root == "imagenet" else 2, trunk(image, train=train))

    def _bit(
        self, image: AnyArray, strides: tuple[int, ...], train: bool, remat: Remat, kernel: Kernel, dtype: DTypeLike
    ) -> list[Map]:
        del strides, kernel, train
        root: resnet.Root = "imagenet" if self.root == "imagenet" else "cifar"
        model = resnet.Model(0, self.variant, self.depths, self.width, root, parent=None)
        depths, width = model.size
        maps = resnet.Trunk(depths, width, root, remat=remat, dtype=dtype, name="trunk").maps(image)
        maps = [nn.relu(resnet.group_norm(x.shape[-1], "pre", dtype, f"trunk_norm_{i}")(x)) for i, x in enumerate(maps)]
        return _doubling(resnet.stride(root, ()), maps)

    def _swin(
        self, image: AnyArray, strides: tuple[int, ...], train: bool, remat: Remat, kernel: Kernel, dtype: DTypeLike
    ) -> list[Map]:
        variants.check(self.variant, sizes.SWIN)
        width, depths = self._sizes(*sizes.SWIN.get(self.variant, (None, None)))
        self._heads(width)
        trunk = swin.Trunk(
            *(width, depths, self.head_dim, self.window, self.patch, self.version, self.padding),
            *(0.0, 0.0, self.stochastic_depth, remat, kernel, dtype),
            name="trunk",
        )
        maps = _doubling(self.patch, trunk(image, train=train))
        return [
            Map(stride, layer_norm(dtype, f"trunk_norm_{number}", swin.EPSILON)(x))
            for number, (stride, x) in enumerate(maps)
            if stride in strides or stride == maps[-1].stride
        ]

    def patches(self, image: Float[AnyArray, "B height width channels"]) -> tuple[int, int] | None:
        """Rows and columns of a ViT's patches, which its positions are for; None of others."""
        if self.name != "vit":
            return None
        with _own_keys():
            return vit.Model(0, **self._plain(), parent=None).grid(image)

    def _plain(self) -> dict[str, Any]:  # Any: fields of several types
        """The fields of a ViT that its size is in."""
        given: dict[str, int] = {}
        if not self.variant:
            width, depths = self._sizes(None, None)
            given = dict(width=width, depth=sum(depths), mlp_dim=4 * width, heads=self._heads(width), patch=self.patch)
        return dict(given, variant=self.variant, head="gap", stochastic_depth=self.stochastic_depth)

    def _vit(
        self, image: AnyArray, strides: tuple[int, ...], train: bool, remat: Remat, kernel: Kernel, dtype: DTypeLike
    ) -> list[Map]:
        # Any: as above.
        more: dict[str, Any] = dict(strides=strides, remat=remat, kernel=kernel, dtype=jnp.dtype(dtype).name)
        return Pyramid(0, **self._plain(), **more, name="trunk")(image, train=train)


@contextmanager
def _own_keys() -> Iterator[None]:
    """What a model says of its keys is said of the trunk's, which have the same names."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace("config.model.", "config.model.trunk.")) from None


def _doubling(first: int, maps: Sequence[jax.Array]) -> list[Map]:
    return [Map(first * 2**stage, x) for stage, x in enumerate(maps)]


class Pyramid(vit.Model):
    """A ViT whose patches become maps of several strides, all made of its last map (2203.16527, section 3).

    Attributes:
      strides: of the maps: the patch's side times or divided by a power of 2.
    """

    strides: tuple[int, ...] = ()

    @nn.compact
    def __call__(  # type: ignore[override]  # maps, where a ViT has an array
        self, image: Float[AnyArray, "B height width channels"], *, train: bool
    ) -> list[Map]:
        """A map for each of the strides that the patch can be made into."""
        size, dtype = self.size[0], jnp.dtype(self.dtype)
        rows, columns = self.grid(image)
        side = image.shape[1] // rows
        x = self.encode(self.embed(image, train), train, (rows, columns))[:, self.extra :]
        x = x.reshape(-1, rows, columns, size.width)
        found = {side: x}
        finer = sorted((s for s in self.strides if s < side and side % s == 0), reverse=True)
        for stride in finer:
            y, at, step = x, side, 0
            while at > stride:
                if step:
                    y = gelu(layer_norm(dtype, f"norm_{stride}_{step}")(y))
                y = nn.ConvTranspose(y.shape[-1] // 2, (2, 2), (2, 2), dtype=dtype, name=f"up_{stride}_{step}")(y)
                at, step = at // 2, step + 1
            found[at] = y
        coarser, y = side, x
        while coarser < max(self.strides, default=side):
            y, coarser = nn.max_pool(y, (2, 2), (2, 2), "SAME"), 2 * coarser
            found[coarser] = y
        return [Map(stride, found[stride]) for stride in sorted(found)]
