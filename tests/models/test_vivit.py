"""The Video Vision Transformer: published counts, what its encoders see, and weights of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import vit, vivit
from training.trees import by_name
from weights import transplant

# 2103.15691, of 32 frames of 224 pixels: without a head, and with one of 400 classes.
PUBLISHED = {
    ("B/16x2", "joint", 0): 88_646_400,
    ("B/16x2", "joint", 400): 88_954_000,
    ("B/16x2", "factorised", 0): 114_755_328,
    ("B/16x2", "factorised", 400): 115_062_928,
    ("L/16x2", "factorised", 0): 354_493_440,
}
SMALL = dict(width=16, depth=1, mlp_dim=32, heads=2, patch=4, tubelet=2)
CLIP = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 8, 8, 3)), jnp.float32)


@pytest.mark.parametrize(("variant", "attention", "outputs"), PUBLISHED)
def test_parameter_counts(variant, attention, outputs):
    model = vivit.Model(outputs, variant, attention=attention)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 224, 224, 3)), train=False)["params"]
    )
    assert sum(x.size for x in jax.tree.leaves(shapes)) == PUBLISHED[variant, attention, outputs]


@pytest.mark.parametrize("attention", ["joint", "factorised"])
def test_the_order_of_frames_matters(attention):
    model = vivit.Model(0, **SMALL, attention=attention, temporal_depth=1)
    output, variables = model.init_with_output(jax.random.key(0), CLIP, train=False)
    assert np.abs(model.apply({"params": variables["params"]}, CLIP[:, ::-1], train=False) - output).max() > 1e-3


def test_weights_of_images_see_the_central_frame_of_each_tubelet():
    of_images = vit.Model(0, width=16, depth=1, mlp_dim=32, heads=2, patch=4)
    variables = {"params": of_images.init(jax.random.key(1), CLIP[:, 0], train=False)["params"]}
    found = {name: np.asarray(x) for name, x in by_name(variables["params"]).items()}
    for attention in ("joint", "factorised"):
        model = vivit.Model(0, **SMALL, attention=attention, temporal_depth=1)
        own = model.init(jax.random.key(0), CLIP, train=False)["params"]
        shapes = {name: x.shape for name, x in by_name(own).items()}
        taken, _ = transplant.fit(found, shapes, ((2, 2), None), "an image model", ("temporal_.*",))
        params = jax.tree.unflatten(
            jax.tree.structure(own), [taken.get(name, np.asarray(x)) for name, x in by_name(own).items()]
        )
        _, probes = model.apply({"params": params}, CLIP, train=False, mutable="probe")
        first = by_name(probes["probe"])
        _, of_image = of_images.apply(variables, CLIP[:, 1::2].reshape(-1, 8, 8, 3), train=False, mutable="probe")
        name = next(name for name in first if name.startswith("encoder/"))
        if attention == "factorised":  # the first encoder sees one time alone
            np.testing.assert_allclose(first[name][0], by_name(of_image["probe"])[name][0], rtol=1e-4, atol=1e-5)
        assert params["embedding"]["kernel"].shape == (2, 4, 4, 3, 16)
        np.testing.assert_array_equal(params["embedding"]["kernel"][1], found["embedding/kernel"])
        assert not params["embedding"]["kernel"][0].any()


def test_a_clip_that_does_not_divide_is_one_line():
    with pytest.raises(UserError, match="a clip of 5x8x8 does not divide into tubelets of 2x4x4"):
        vivit.Model(3, **SMALL).init(jax.random.key(0), CLIP[:, :5], train=False)
