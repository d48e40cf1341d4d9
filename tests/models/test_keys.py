"""Every model tells its keys: defaults, meanings, and what `:debug` changes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import lookup
import models
from models.kernel_choice import compiled_for

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


def small(name: str, **changes) -> tuple[nn.Module, tuple]:
    """A small model with these keys, and what it is called with."""
    chosen = CHOICES.get(name, {}) | {key: size for key, size in SIZES.items() if key in lookup.keys(model(name))}
    changes = chosen | lookup.find("models", "debug", name)(chosen) | changes
    return models.build(name, 10, **changes), INPUTS[MODELS[name]]


ATTENTIVE = [name for name in MODELS if "kernel" in lookup.keys(model(name))]
FORMS = [
    *((name, {}) for name in ATTENTIVE if name != "upernet"),
    ("upernet", {"trunk": {"name": "swin", "width": 8, "depths": (1, 1, 1, 1), "head_dim": 4, "window": 2}}),
    ("vit", {"head": "map"}),
    ("detr", {"queries_from": "anchors", "attention": "conditional"}),
    ("detr", {"trunk": {"name": "vit", "width": 16, "head_dim": 8, "depths": (1,), "patch": 8}, "strides": (8,)}),
    ("timesformer", {"attention": "joint"}),
    ("vivit", {"attention": "factorised"}),
    ("clip", {"form": "siglip", "max_length": 4}),
]


@pytest.mark.parametrize(("name", "changes"), FORMS)
def test_all_attention_is_computed_as_the_key_says(name, changes):
    built, arrays = small(name, kernel="blockwise", **changes)
    variables = jax.eval_shape(lambda: built.init(jax.random.key(0), *arrays, train=False))
    with compiled_for("cpu") as target:
        jax.eval_shape(lambda v: built.apply(v, *arrays, train=False), variables)
    assert target.chosen
    assert {choice.reason for choice in target.chosen.values()} == {"config.model.kernel=blockwise"}


def kept(program) -> int:
    """How many softmaxes over heads a program has that its backward pass does not compute again."""
    count = 0
    for equation in program.eqns:
        if equation.primitive.name in ("checkpoint", "remat2"):
            continue
        count += equation.primitive.name == "exp" and equation.outvars[0].aval.ndim == 4
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            count += kept(getattr(inner, "jaxpr", inner)) if hasattr(inner, "eqns") else 0
    return count


@pytest.mark.parametrize(("name", "changes"), [form for form in FORMS if "map" not in form[1].values()])
def test_every_layer_can_be_computed_again_in_the_backward_pass(name, changes):
    found = {}
    for remat in ("none", "full"):
        built, arrays = small(name, remat=remat, **changes)
        variables = jax.eval_shape(lambda b=built, a=arrays: b.init(jax.random.key(0), *a, train=False))
        apply = jax.make_jaxpr(lambda v, b=built, a=arrays: b.apply(v, *a, train=False))
        found[remat] = kept(apply(variables).jaxpr)
    assert found["none"] > 0
    # What pools an image's patches has one query, and keeps little.
    assert found["full"] == ("siglip" in changes.values())


@pytest.mark.parametrize("section", [{"variant": "R50+B/16"}, {"variant": "B/16", "stem": "cifar"}])
def test_debug_patches_of_a_stems_features_are_one_place_wide(section):
    debug = lookup.find("models", "debug", "vit")
    assert debug(section)["patch"] == 1
    assert debug({"variant": "B/16", "stem": "none"})["patch"] == 4
