"""The encoder of sentences: what its head reads, and that padding is nothing."""

import jax
import numpy as np
import pytest

import models

TOKENS = np.array([[5, 6, 7, 3, 0, 0], [8, 3, 0, 0, 0, 0], [4, 5, 6, 7, 8, 3]])
VALID = (TOKENS > 0)[..., None]


@pytest.mark.parametrize("pooling", ["mean", "token", "last"])
def test_a_sentence_is_read_as_pooling_says_and_padding_is_nothing(filled, pooling):
    model = models.build("classifier", 0, vocabulary=9, width=8, depth=1, mlp_dim=12, heads=2, pooling=pooling)
    variables = filled(model, TOKENS)

    @jax.jit
    def run(variables, tokens):
        return model.apply(
            variables, tokens, train=False, capture_intermediates=lambda module, _: module.name == "encoder"
        )

    found, seen = run(variables, TOKENS)
    (x,) = seen["intermediates"]["encoder"]["__call__"]
    expected = {
        "mean": lambda: (x * VALID).sum(1) / VALID.sum(1),
        "token": lambda: x[:, 0],
        "last": lambda: x[np.arange(3), VALID[..., 0].sum(1) - 1],
    }[pooling]()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    alone, _ = run(variables, TOKENS[1:2, :2])
    np.testing.assert_allclose(found[1:2], alone, rtol=1e-4, atol=1e-5)
    empty, _ = run(variables, 0 * TOKENS)
    assert np.isfinite(empty).all()
