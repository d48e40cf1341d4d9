"""UPerNet: the published count, pooling as PyTorch's adaptive one, and images of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import upernet
from models.trunks import Trunk

# 2103.14030: Swin-T with UPerNet and 150 classes, in transformers, whose trunk has a norm after the last map as well.
PUBLISHED, LAST_NORM = 59_943_398, 2 * 768


def test_the_size_is_the_published_one():
    model = upernet.Model(150, Trunk(name="swin", variant="T"), auxiliary=16)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == PUBLISHED - LAST_NORM


def test_the_auxiliary_logits_are_of_its_map_and_of_training_alone():
    trunk = Trunk(name="swin", width=8, depths=(1, 1), head_dim=4, patch=2, window=2)
    model = upernet.Model(5, trunk, strides=(2, 4), width=8, scales=(1,), norm="layer", auxiliary=4)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 12, 20, 1)), jnp.float32)

    @jax.jit
    def both(image):
        variables = model.init(keys, image, train=False)
        blank = jax.tree.map(lambda x: x, variables)
        blank["params"]["lateral_0"] = jax.tree.map(jnp.zeros_like, blank["params"]["lateral_0"])
        training = [model.apply(v, image, train=True, rngs={"dropout": keys["dropout"]}) for v in (variables, blank)]
        return training, model.apply(variables, image, train=False)

    ((logits, auxiliary), (other, same)), predicted = both(image)
    assert logits.shape == auxiliary.shape == predicted.shape == (2, 12, 20, 5)
    assert not np.allclose(logits, other)
    np.testing.assert_array_equal(auxiliary, same)  # the pyramid is not on its way
    with pytest.raises(UserError, match=r"config.model.auxiliary=16 is none of config.model.strides=\(2, 4\)"):
        model.clone(auxiliary=16).init(keys, image, train=False)


@pytest.mark.parametrize(("side", "scale"), [(6, 3), (7, 3), (5, 6), (8, 1)])
def test_a_map_is_pooled_to_the_means_of_its_parts(side, scale):
    x = np.random.default_rng(0).normal(size=(2, side, 4, 3))
    pooled = np.asarray(upernet.pool(jnp.asarray(x), scale))
    for i in range(scale):
        for j in range(scale):
            rows = slice(int(np.floor(i * side / scale)), int(np.ceil((i + 1) * side / scale)))
            columns = slice(int(np.floor(j * 4 / scale)), int(np.ceil((j + 1) * 4 / scale)))
            np.testing.assert_allclose(pooled[:, i, j], x[:, rows, columns].mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(("norm", "logits"), [("group", "interpolated"), ("batch", "pixels")])
def test_logits_are_of_the_images_size_whatever_it_is(norm, logits):
    trunk = Trunk(name="swin", width=8, depths=(1, 1, 1), head_dim=4, patch=2, window=2)
    model = upernet.Model(5, trunk, strides=(2, 4, 8), width=8, norm=norm, logits=logits)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    for shape in ((2, 12, 20, 1), (1, 17, 9, 1)):
        logits, _ = jax.eval_shape(lambda s=shape: model.init_with_output(keys, jnp.zeros(s), train=True))
        assert logits.shape == (*shape[:3], 5)


@pytest.mark.parametrize("norm", ["layer", "batch", "group"])
def test_what_is_pooled_to_one_place_is_more_than_signs_but_with_groups_of_two_channels(norm):
    layer = upernet.Convolution(32, 1, norm, jnp.float32)
    x = jnp.asarray(np.random.default_rng(0).normal(0, 10, (4, 1, 1, 16)), jnp.float32)
    y, _ = jax.jit(lambda: layer.init_with_output(jax.random.key(0), x, True))()
    signs = np.isclose(y, 0, atol=0.02) | np.isclose(y, 1, atol=0.02)
    assert (signs.mean() > 0.95) == (norm == "group")


def test_a_place_of_the_map_has_the_pixels_that_it_covers():
    image = np.random.default_rng(0).normal(size=(2, 6, 8, 3))
    places = image.reshape(2, 3, 2, 4, 2, 3).swapaxes(2, 3).reshape(2, 3, 4, 12)  # row by row of each place
    np.testing.assert_allclose(upernet.spread(jnp.asarray(places), 2, (5, 8)), image[:, :5], rtol=1e-6)
