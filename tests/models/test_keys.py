"""Every model tells its keys: defaults, meanings, and what `:debug` changes."""

import jax
import jax.numpy as jnp
import pytest

import lookup
import models

SIZES = {"vocabulary": 20, "source_vocabulary": None}  # given by the data
CHOICES = {"seq2seq": dict(cell="gru", attention="bahdanau"), "recurrent": dict(cell="gru")}
CHOICES["dino"] = dict(position_grid=(7, 7))
INPUTS = {
    "image": (jnp.zeros((1, 32, 32, 3)),),
    "canvas": (jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 2))),
    "noisy image": (jnp.zeros((1, 32, 32, 3)), jnp.zeros(1), jnp.zeros(1, jnp.int32)),
    "image and text": (jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 4), jnp.int32)),
    "clip": (jnp.zeros((1, 4, 32, 32, 3)),),
    "pair": (jnp.ones((1, 4), jnp.int32),) * 2,
    "sentence": (jnp.ones((1, 4), jnp.int32),),
}
MODELS = {
    **dict.fromkeys(("vit", "mae", "masked_patches", "mixer", "resnet", "swin", "segmenter", "upernet"), "image"),
    "dino": "image",
    "clip": "image and text",
    "multimodal": "image and text",
    "detr": "canvas",
    "dit": "noisy image",
    **dict.fromkeys(("vivit", "timesformer", "video_mae"), "clip"),
    **dict.fromkeys(("transformer", "seq2seq", "t5"), "pair"),
    **dict.fromkeys(("classifier", "recurrent", "gpt", "skip_gram", "bert"), "sentence"),
}


def model(name):
    return lookup.find("models", "Model", name)


def test_all_models_are_here():
    assert sorted(MODELS) == lookup.names("models", "Model") == lookup.names("models", "debug")


@pytest.mark.parametrize("name", MODELS)
def test_every_key_has_a_meaning(name):
    assert lookup.keys(model(name)).keys() == lookup.meanings(model(name)).keys()


@pytest.mark.parametrize("name", MODELS)
def test_what_debug_changes_makes_a_small_model(name):
    chosen = CHOICES.get(name, {}) | {key: size for key, size in SIZES.items() if key in lookup.keys(model(name))}
    changes = lookup.find("models", "debug", name)(chosen)
    assert changes.keys() <= lookup.keys(model(name)).keys()
    small = models.build(name, 10, **chosen | changes)
    shapes = jax.eval_shape(lambda: small.init(jax.random.key(0), *INPUTS[MODELS[name]], train=False))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) < 40_000


@pytest.mark.parametrize("section", [{"variant": "R50+B/16"}, {"variant": "B/16", "stem": "cifar"}])
def test_debug_patches_of_a_stems_features_are_one_place_wide(section):
    debug = lookup.find("models", "debug", "vit")
    assert debug(section)["patch"] == 1
    assert debug({"variant": "B/16", "stem": "none"})["patch"] == 4
