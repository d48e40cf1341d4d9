"""Tiny models' parameters, drawn and never compiled."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import models
import weights

VIT = dict(width=16, depth=3, mlp_dim=24, heads=2, patch=4)
SIZES = {
    "vit": VIT,
    "resnet": dict(depths=(1, 2), width=8, root="cifar"),
    "mixer": dict(width=16, depth=3, mlp_dim=24, token_mlp_dim=10, patch=4),
    "transformer": dict(
        width=16,
        depth=2,
        mlp_dim=24,
        heads=2,
        norm_epsilon=1e-5,
        positions="sinusoid_halves",
        activation="swish",
        output_bias=True,
        source_vocabulary=None,
    ),
    "t5": dict(width=16, depth=2, mlp_dim=24, heads=2, head_dim=6, buckets=8),
    "bert": dict(width=16, depth=2, mlp_dim=24, heads=2, vocabulary=9, max_length=6),
}


@pytest.fixture(scope="session")
def drawn() -> Callable[..., tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """drawn(name="vit", outputs=5, **settings) -> flat parameters of a tiny model, and its config.model."""

    def draw(name: str = "vit", outputs: int = 5, **settings: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        model = models.build(name, outputs, **SIZES[name] | settings)
        image, tokens = np.zeros((1, 12, 12, 3), np.float32), np.ones((1, 4), np.int32)
        inputs = {"transformer": (tokens, tokens), "bert": (tokens,), "t5": (tokens, tokens)}.get(name, (image,))
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, train=False))["params"]
        rng = np.random.default_rng(0)
        flat = {path: rng.normal(size=leaf.shape).astype(np.float32) for path, leaf in weights.flat(shapes).items()}
        fields = {field: getattr(model, field) for field in model.__dataclass_fields__}
        return flat, fields | {"name": name}

    kept: dict[str, Any] = {}

    def once(**settings: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        if str(settings) not in kept:
            kept[str(settings)] = draw(**settings)
        return kept[str(settings)]

    return once
