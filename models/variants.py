"""A model's sizes: those of its variant, each replaced where the config gives it, and the grid of its patches."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from errors import UserError, nearest
from models.arrays import AnyArray


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
      UserError: they do not divide it.
    """
    height, width = image.shape[1:3]
    if height % side or width % side:
        raise UserError(
            f"an image of {height}x{width} does not divide into patches of {side}: change config.data.image_size or "
            "config.model.patch."
        )
    return height // side, width // side


def split_by_heads(sizes: Mapping[str, int]) -> None:
    """That heads divide the width.

    Raises:
      UserError: they do not.
    """
    if sizes["width"] % sizes["heads"]:
        raise UserError(f"config.model.width={sizes['width']} does not divide by heads={sizes['heads']}.")
