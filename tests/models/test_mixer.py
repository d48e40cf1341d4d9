import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models import mixer

PUBLISHED = {"B/16": 59_880_472, "L/16": 208_196_168}  # 2105.01601, Table 1: 59M and 207M
TABLE = {"S": (512, 8, 2048, 256), "B": (768, 12, 3072, 384), "L": (1024, 24, 4096, 512), "H": (1280, 32, 5120, 640)}
TINY = dict(width=8, depth=2, mlp_dim=16, token_mlp_dim=6, patch=4)
IMAGE = jax.random.normal(jax.random.key(0), (2, 8, 12, 3))


def formula(variant: str) -> int:
    name, patch = variant.split("/")
    d, layers, f, t = TABLE[name]
    n, p = (224 // int(patch)) ** 2, int(patch)
    block = 2 * 2 * d + (2 * n * t + n + t) + (2 * d * f + d + f)
    return 3 * p * p * d + d + layers * block + 2 * d + 1000 * d + 1000


@pytest.mark.parametrize("variant", mixer.VARIANTS)
def test_a_variant_has_the_parameters_of_the_papers_table(variant):
    model = mixer.Model(1000, variant)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3)), train=False)["params"])
    assert sum(x.size for x in jax.tree.leaves(params)) == formula(variant) == PUBLISHED.get(variant, formula(variant))


def test_patches_meet_in_one_mlp_and_channels_in_the_other():
    model = models.build("mixer", 5, **TINY)
    params = jax.jit(lambda: model.init(jax.random.key(1), IMAGE, train=False)["params"])()
    features = lambda p, image: model.clone(outputs=0).apply({"params": p}, image, train=False)  # noqa: E731
    block = params["block_00"]
    assert block["token_mlp"]["expand"]["kernel"].shape == (6, 6)
    assert block["mlp"]["expand"]["kernel"].shape == (8, 16)
    # Without the MLP over patches each patch is on its own, and their order does not matter.
    alone = jax.tree_util.tree_map_with_path(lambda path, x: 0 * x if "token_mlp" in str(path) else x, params)
    turned = jnp.concatenate([IMAGE[:, :, 4:], IMAGE[:, :, :4]], axis=2)
    np.testing.assert_allclose(features(alone, IMAGE), features(alone, turned), atol=1e-5)
    assert not np.allclose(features(params, IMAGE), features(params, turned), atol=1e-3)


def test_images_and_settings_that_cannot_be():
    model = models.build("mixer", 5, **TINY)
    with pytest.raises(UserError, match=r"an image of 8x10 does not divide into patches of 4"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGE[:, :, :10], train=False))
    with pytest.raises(UserError, match=r"variant='B/15' does not exist: did you mean 'B/16'"):
        mixer.Model(5, "B/15").size  # noqa: B018
