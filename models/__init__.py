"""Models by name: `build("vit", ...)` is `models/vit.py`'s `Model(...)`. Importing this package does not import jax."""

from typing import TYPE_CHECKING

import lookup

if TYPE_CHECKING:
    import flax.linen as nn


def build(name: str, outputs: int, **arguments: object) -> "nn.Module":
    """The model of config.model.

    Args:
      name: a module of this room.
      outputs: what the data set asks for: C classes, or a vocabulary of V.
      arguments: fields of its `Model`: keys of config.model, and further sizes that the data set gives.
    """
    return lookup.call("config.model", lookup.find("models", "Model", name), arguments, outputs=outputs)
