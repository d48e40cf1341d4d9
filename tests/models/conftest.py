"""Parameters that need no compiled initialisation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def filled() -> Callable[..., dict[str, Any]]:
    """filled(model, *inputs) -> variables: normal draws, a norm's scale about 1, so that no 0 or 1 hides a mistake."""

    def fill(model: Any, *inputs: Any) -> dict[str, Any]:
        inputs = jax.tree.map(jnp.asarray, inputs)
        params = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, train=False))["params"]
        draw = np.random.default_rng(0)

        def one(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
            about = 1.0 if path[-1].key == "scale" else 0.0
            return (about + 0.3 * draw.normal(size=leaf.shape)).astype(leaf.dtype)

        return {"params": jax.tree_util.tree_map_with_path(one, params)}

    return fill
