"""Segmenter: published counts, and the mask decoder against a naive form."""

import jax
import jax.numpy as jnp
import pytest

from models import segmenter

# FACTS: rstrudel/segmenter, 150 classes, images of 384 pixels; (variant, decoder) -> parameters.
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
