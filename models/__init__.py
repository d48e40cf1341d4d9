"""Models by name: `build("vit", ...)` is `models/vit.py`'s `Model(...)`."""

from typing import Any

import flax.linen as nn

import lookup


def build(name: str, outputs: int, **arguments: Any) -> nn.Module:
    """The model of config.model; `outputs` is what the data set asks for (classes C or vocabulary V)."""
    return lookup.call("config.model", lookup.find("models", "Model", name), arguments, outputs=outputs)
