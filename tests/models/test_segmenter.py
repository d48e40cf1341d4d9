"""Segmenter: published counts, and the mask decoder against a naive form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import segmenter, vit

# 2105.05633, by the code of rstrudel/segmenter: 150 classes, images of 384 pixels; (variant, decoder) -> parameters.
COUNTS = {
    ("Ti/16", "linear"): 5_626_326,
    ("Ti/16", "mask"): 6_627_372,
    ("S/16", "linear"): 21_869_334,
    ("S/16", "mask"): 25_861_932,
    ("B/16", "linear"): 86_205_846,
    ("B/16", "mask"): 102_153_516,
    ("B/8", "linear"): 87_090_582,
    ("L/16", "linear"): 303_844_502,
    ("L/16", "mask"): 332_185_900,
}


@pytest.mark.parametrize("published", COUNTS, ids=str)
def test_sizes_are_the_published_ones(published):
    variant, decoder = published
    model = segmenter.Model(150, variant, decoder=decoder)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 384, 384, 3)), train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == COUNTS[published]


def test_a_patchs_logits_are_its_products_with_the_classes_tokens_normalised_and_interpolated():
    model = segmenter.Model(3, width=8, depth=1, mlp_dim=16, heads=2, patch=4, decoder_depth=1)
    image = jax.random.normal(jax.random.key(0), (2, 8, 12, 1))
    variables = model.init(jax.random.key(1), image, train=False)
    logits, sown = model.apply(variables, image, train=False, mutable=["probe"], capture_intermediates=True)
    seen, head = sown["intermediates"]["head"], variables["params"]["head"]
    x = np.asarray(seen["norm"]["__call__"][0])
    patches, tokens = x[:, :6] @ head["patches"]["kernel"], x[:, 6:] @ head["tokens"]["kernel"]
    cosine = np.einsum("bnd,bcd->bnc", patches, tokens)
    cosine /= np.linalg.norm(patches, axis=-1)[:, :, None] * np.linalg.norm(tokens, axis=-1)[:, None]
    np.testing.assert_allclose(sown["probe"]["head"]["masks"][0], cosine, rtol=1e-4, atol=1e-5)
    centred = cosine - cosine.mean(-1, keepdims=True)
    masks = centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-5)
    expected = jax.image.resize(masks.reshape(2, 2, 3, 3), (2, 8, 12, 3), "bilinear")
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_weights_of_a_classifier_are_those_of_its_encoder():
    sizes = dict(width=8, depth=1, mlp_dim=16, heads=2, patch=4, decoder_depth=1)
    image = jnp.ones((1, 8, 8, 1))
    mine = segmenter.Model(3, **sizes).init(jax.random.key(0), image, train=False)["params"]
    sizes.pop("decoder_depth")
    classifier = vit.Model(5, **sizes).init(jax.random.key(0), image, train=False)["params"]
    assert mine.keys() == classifier.keys()
    shared = [name for name in mine if name != "head"]
    assert jax.tree.map(jnp.shape, [mine[name] for name in shared]) == jax.tree.map(
        jnp.shape, [classifier[name] for name in shared]
    )
