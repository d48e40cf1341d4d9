"""The figures of a model: those of its variant, each replaced where it is given by itself."""

from collections.abc import Iterable, Mapping

from errors import UserError, nearest


def known(variant: str, variants: Iterable[str]) -> None:
    """Refuses a variant that does not exist; "" is none."""
    if variant and variant not in (variants := tuple(variants)):
        raise UserError(f"config.model.variant={variant!r} does not exist: {nearest(variant, variants)}")


def figures(row: Mapping[str, int], **given: int | None) -> dict[str, int]:
    """A variant's row, or {} for none, with what is given in its place.

    Raises:
      UserError: a figure that neither has, or that is less than 1.
    """
    found = dict(row) | {key: value for key, value in given.items() if value is not None}
    if missing := given.keys() - found.keys():
        raise UserError(f"config.model.{min(missing)} is not set: set it, or config.model.variant.")
    if wrong := [key for key, value in found.items() if value < 1]:
        raise UserError(f"config.model.{wrong[0]}={found[wrong[0]]} must be positive.")
    return found
