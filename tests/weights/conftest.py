"""Tiny models' parameters, drawn and never compiled."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import models
import weights

SIZE = dict(width=16, depth=3, mlp_dim=24, heads=2, patch=4)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """drawn(outputs=5, **settings) -> flat parameters of a tiny ViT for images of 12 x 12, and its config.model."""

    def draw(outputs: int = 5, **settings: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        model = models.build("vit", outputs, **SIZE | settings)
        image = np.zeros((1, 12, 12, 3), np.float32)
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))["params"]
        rng = np.random.default_rng(0)
        flat = {name: rng.normal(size=leaf.shape).astype(np.float32) for name, leaf in weights.flat(shapes).items()}
        fields = {name: getattr(model, name) for name in model.__dataclass_fields__}
        return flat, fields | {"name": "vit"}

    kept: dict[str, Any] = {}

    def once(**settings: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        if str(settings) not in kept:
            kept[str(settings)] = draw(**settings)
        return kept[str(settings)]

    return once
