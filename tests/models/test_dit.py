"""The diffusion Transformer: published counts, what it is before training, and its classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import dit

# 2212.09748 and the code published with it: all parameters with the fixed positions, 4x32x32 latents, 1,000 classes.
PUBLISHED = {
    "S/2": 32_963_360,
    "S/4": 32_945_024,
    "S/8": 33_148_160,
    "B/2": 130_512_416,
    "B/4": 130_475_648,
    "B/8": 130_881_536,
    "L/2": 458_102_816,
    "L/4": 458_053_760,
    "L/8": 458_594_816,
    "XL/2": 675_129_632,
    "XL/4": 675_074_432,
    "XL/8": 675_683_072,
}


def test_every_published_size_has_its_count():
    assert set(PUBLISHED) == set(dit.VARIANTS)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameter_counts(variant):
    model = dit.Model(1000, variant, learned_variance=True)
    arguments = (jax.random.key(0), jnp.zeros((1, 32, 32, 4)), jnp.zeros(1), jnp.zeros(1, int))
    shapes = jax.eval_shape(lambda: model.init(*arguments, train=False)["params"])
    positions = (32 // model.size["patch"]) ** 2 * model.size["width"]
    assert sum(x.size for x in jax.tree.leaves(shapes)) + positions == PUBLISHED[variant]


SMALL = dict(width=16, depth=2, heads=2, patch=2)
IMAGE, TIME = (
    jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 1)), jnp.float32),
    jnp.array([0.0, 10.0, 999.0]),
)
LABEL = jnp.array([0, 1, 2])


@pytest.fixture(scope="module")
def moved():
    """A model whose first zeros are not zero any more."""
    model = dit.Model(3, **SMALL)
    variables = model.init(jax.random.key(0), IMAGE, TIME, LABEL, train=False)
    return model, {
        "params": jax.tree.map(lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size)).reshape(x.shape), variables["params"])
    }


def test_at_first_it_returns_zeros_whatever_it_sees():
    model = dit.Model(3, **SMALL)
    output, _ = model.init_with_output(jax.random.key(0), IMAGE, TIME, LABEL, train=False)
    np.testing.assert_array_equal(output, np.zeros(IMAGE.shape))


def test_time_class_and_no_class_matter_and_rows_are_apart(moved):
    model, variables = moved
    whole = model.apply(variables, IMAGE, TIME, LABEL, train=False)
    for time, label in ((TIME + 5, LABEL), (TIME, LABEL[::-1]), (TIME, None)):
        assert np.abs(model.apply(variables, IMAGE, time, label, train=False) - whole).max() > 1e-3
    alone = model.apply(variables, IMAGE[1:2], TIME[1:2], LABEL[1:2], train=False)
    np.testing.assert_allclose(alone, whole[1:2], rtol=1e-4, atol=1e-5)


def test_classes_are_hidden_in_training_at_the_rate(moved):
    model, variables = moved
    always = dit.Model(3, **SMALL, class_dropout=0.999999)
    rngs = {"dropout": jax.random.key(1)}
    hidden = always.apply(variables, IMAGE, TIME, LABEL, train=True, rngs=rngs)
    np.testing.assert_allclose(hidden, model.apply(variables, IMAGE, TIME, None, train=False), rtol=1e-4, atol=1e-5)


def test_no_class_is_refused_by_a_model_that_does_not_know_it():
    with pytest.raises(UserError, match=r"class_dropout=0: take config\.task\.guidance=1"):
        dit.Model(3, **SMALL, class_dropout=0.0).init(jax.random.key(0), IMAGE, TIME, None, train=False)


def test_noise_of_an_evaluation_goes_by_the_place_in_the_split():
    model = dit.Model(3, **SMALL)
    noise, level = model.draw(IMAGE, jnp.array([5, 6, 7]), train=False)
    again, same = model.draw(IMAGE[:1], jnp.array([6]), train=False)
    np.testing.assert_array_equal(noise[1:2], again)
    np.testing.assert_array_equal(level[1:2], same)
    assert ((level >= 0) & (level < 1)).all()
