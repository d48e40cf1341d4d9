"""A model's sizes: those of its variant, each replaced where the config gives it, and the grid of its patches."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from errors import UserError, nearest
from models.arrays import AnyArray

MOST_PATCHES = 2**16  # their scores fill 17 GB for each image and head


@dataclass(frozen=True)
class Sizes:
    """Those of a Transformer: D, the number of layers, F and H."""

    width: int
    depth: int
    mlp_dim: int
    heads: int


def check(variant: str, variants: Iterable[str]) -> None:
    """Refuses a variant that does not exist; "" is none.

    Raises:
      UserError: the line lists the variants.
    """
    if variant and variant not in (variants := tuple(variants)):
        raise UserError(f"config.model.variant={variant!r} does not exist: {nearest(variant, variants)}")


def sizes(variant: str, table: Mapping[str, Mapping[str, int]], **given: int | None) -> dict[str, int]:
    """The sizes of `variant` in `table`, with those that are given in their place.

    Args:
      variant: "" for none: all sizes must be given then.
      given: every size that the model must have; None for the variant's.

    Raises:
      UserError: a variant that does not exist, or a size that neither has.
    """
    check(variant, table)
    found = dict(table[variant]) if variant else {}
    found |= {key: value for key, value in given.items() if value is not None}
    if missing := given.keys() - found.keys():
        raise UserError(f"config.model.{min(missing)} is not set: set it, or config.model.variant.")
    return found


def patch_grid(image: AnyArray, side: int) -> tuple[int, int]:
    """Rows and columns of the patches of an image (B, height, width, channels), `side` pixels wide.

    Raises:
      UserError: they do not divide it, or are too many.
    """
    height, width = image.shape[1:3]
    if height % side or width % side:
        raise UserError(
            f"an image of {height}x{width} does not divide into patches of {side}: change config.data.image_size or "
            "config.model.patch."
        )
    check_patches(f"an image of {height}x{width}", (height // side) * (width // side))
    return height // side, width // side


def check_patches(what: str, count: int) -> None:
    """That attention can be computed between so many patches.

    Args:
      what: has them, "an image of 32x32".

    Raises:
      UserError: they are too many.
    """
    if count > MOST_PATCHES:
        raise UserError(
            f"{what} has {count:,} patches, more than {MOST_PATCHES:,}: lower config.data.image_size, or raise "
            "config.model.patch."
        )


def split_by_heads(sizes: Mapping[str, int], tower: str = "") -> None:
    """That heads divide the width.

    Args:
      tower: what the names of its sizes begin with, where the model has several: "text_".

    Raises:
      UserError: they do not.
    """
    width, heads = f"{tower}width", f"{tower}heads"
    if sizes[width] % sizes[heads]:
        raise UserError(f"config.model.{width}={sizes[width]} does not divide by {heads}={sizes[heads]}.")
