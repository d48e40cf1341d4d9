"""One encoder over patches and words: what it reads, and that both matter."""

from functools import partial

import jax
import numpy as np
import pytest

import models
from errors import UserError

SIZE = dict(vocabulary=9, width=8, depth=1, mlp_dim=16, heads=2, patch=4)
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(3, 8, 8, 1)).astype(np.float32)
TOKENS = np.array([[2, 3, 4, 0], [5, 0, 0, 0], [6, 7, 8, 2]], np.int32)


def filled(model):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGE, TOKENS, train=False))["params"]
    return jax.tree.map(lambda x: RNG.normal(0, 0.3, x.shape).astype(np.float32), shapes)


def test_its_parameters_are_a_vits_and_an_embedding_of_words():
    params = filled(models.build("multimodal", 5, **SIZE))
    shapes = {name: tuple(x.shape) for name, x in params.items() if not isinstance(x, dict)}
    assert shapes == {
        "token": (1, 1, 8),
        "image_positions": (1, 4, 8),
        "image_type": (1, 1, 8),
        "text_positions": (1, 4, 8),
        "text_type": (1, 1, 8),
    }
    assert params["words"]["embedding"].shape == (9, 8)


@pytest.mark.parametrize("reads", ["both", "image", "text"])
def test_it_depends_on_what_it_reads_and_not_on_padding(reads):
    model = models.build("multimodal", 5, reads=reads, **SIZE)
    run = jax.jit(partial(model.apply, {"params": filled(model)}, train=False))
    found = run(IMAGE, TOKENS)
    assert found.shape == (3, 5)
    assert (np.abs(run(IMAGE + 1, TOKENS) - found).max() > 1e-3) == (reads != "text")
    assert (np.abs(run(IMAGE, TOKENS % 3 + (TOKENS > 0)) - found).max() > 1e-3) == (reads != "image")


def test_what_is_padding_is_not_looked_at():
    model = models.build("multimodal", 5, **SIZE)
    params = filled(model)
    run = jax.jit(lambda params: model.apply({"params": params}, IMAGE, TOKENS, train=False))
    changed = params | {"words": {"embedding": params["words"]["embedding"].copy()}}
    changed["words"]["embedding"][0] += 9  # of padding
    np.testing.assert_allclose(run(changed), run(params), atol=1e-6)


def test_patches_that_do_not_divide_are_one_line():
    model = models.build("multimodal", 5, **SIZE)
    with pytest.raises(UserError, match="an image of 7x8 does not divide into patches of 4"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGE[:, :7], TOKENS, train=False))
