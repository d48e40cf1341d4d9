"""CLIP and SigLIP: parameter counts of every published size, and what each tower sees."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models.clip import VARIANTS, Model
from models.tokens import BOS, EOS

COUNTS = {  # transformers' models of these sizes: all, and the tower of images without CLIP's projection
    ("clip", "B/32", 224): (151_277_313, 87_456_000),
    ("clip", "B/16", 224): (149_620_737, 85_799_424),
    ("clip", "L/14", 224): (427_616_513, 303_179_776),
    ("clip", "L/14", 336): (427_944_193, 303_507_456),
    ("siglip", "B/16", 224): (203_155_970, 92_884_224),
    ("siglip", "B/16", 256): (203_202_050, 92_930_304),
    ("siglip", "L/16", 256): (652_150_786, 315_956_224),
    ("siglip", "So400m/14", 378): (877_960_498, 428_225_600),
}
TEXTS = {"clip": (49_408, 77, {"B": 63_165_952, "L": 123_060_480}), "siglip": (32_000, 64, None)}
SMALL = dict(
    width=16, depth=2, mlp_dim=32, heads=2, text_width=24, text_depth=2, text_mlp_dim=32, text_heads=2, embedding=16,
    patch=4, max_length=8,
)  # fmt: skip
IMAGE = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
TOKENS = np.array([[BOS, 7, 8, EOS, EOS, EOS, EOS, EOS], [BOS, 9, 7, 8, 5, EOS, EOS, EOS]])


@pytest.mark.parametrize(("form", "variant", "pixels"), COUNTS)
def test_parameters_are_as_many_as_published(form, variant, pixels):
    vocabulary, length, texts = TEXTS[form]
    model = Model(vocabulary, form=form, variant=variant, max_length=length, scan=True)
    image, tokens = jnp.zeros((1, pixels, pixels, 3)), jnp.zeros((1, length), jnp.int32)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), image, tokens, train=False))["params"]
    count = {name: sum(x.size for x in jax.tree.leaves(tree)) for name, tree in params.items()}
    assert (sum(count.values()), count["image"]) == COUNTS[form, variant, pixels]
    assert texts is None or count["text"] == texts[variant[0]]


def test_every_published_variant_has_its_row():
    assert {variant for form, variant, _ in COUNTS if form == "clip"} == {"B/32", "B/16", "L/14"}
    assert all(variant in VARIANTS[form] for form, variant, _ in COUNTS)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def small(request):
    """A model of a form, compiled: apply(params, image, tokens), and its parameters, drawn."""
    model = Model(12, form=request.param, **SMALL)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGE, TOKENS, train=False))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), jnp.float32), shapes)
    return model, jax.jit(partial(model.apply, train=False)), params


def test_embeddings_have_length_1_and_do_not_depend_on_what_else_is_there(small):
    _, apply, params = small
    both = apply({"params": params}, IMAGE, TOKENS)
    for x in (both.image, both.text):
        np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, rtol=1e-5)
    other = apply({"params": params}, IMAGE[::-1].copy(), np.stack([TOKENS[0], TOKENS[0]]))
    np.testing.assert_allclose(other.image[::-1], both.image, atol=1e-5)
    np.testing.assert_allclose(other.text[1], both.text[0], atol=1e-5)


def test_clip_reads_up_to_the_first_end_and_siglip_the_whole_row(small):
    model, apply, params = small
    before, changed = apply({"params": params}, IMAGE, TOKENS).text, TOKENS.copy()
    changed[:, -1] = 9
    after = apply({"params": params}, IMAGE, changed).text
    differs = np.abs(after - before).max()
    assert differs < 1e-6 if model.form == "clip" else differs > 1e-3
    changed = TOKENS.copy()
    changed[:, 1] = 10
    assert np.abs(apply({"params": params}, IMAGE, changed).text - before).max(1).min() > 1e-4


def test_the_scale_of_clip_has_an_end(small):
    model, apply, params = small

    def scale(log):
        return apply({"params": params | {"scale": log}}, IMAGE, TOKENS).scale

    hot, gradient = jax.value_and_grad(scale)(jnp.asarray(9.0))
    assert float(hot) == pytest.approx(100 if model.form == "clip" else np.exp(9.0), rel=1e-5)
    assert float(gradient) == pytest.approx(float(hot))  # it is not stuck there


def test_a_stem_makes_the_features_that_the_patches_are_of():
    model = Model(12, **SMALL | dict(patch=1, stem="imagenet", stem_depths=(1,), stem_width=8))
    assert model.grid(np.zeros((1, 8, 12, 1))) == (2, 3)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGE, TOKENS, train=False))["params"]
    assert params["image"]["embedding"]["kernel"].shape == (1, 1, 32, 16)
    assert params["image"]["positions"]["embedding"].shape == (1, 1 + 4, 16)


def test_a_model_without_outputs_represents_images(small):
    model, _, params = small
    represent = partial(model.clone(outputs=0).apply, train=False)
    found = jax.eval_shape(represent, {"params": params}, IMAGE, TOKENS)
    assert found.shape == (2, SMALL["width"])


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"patch": 3}, (1, 8), "does not divide into patches of 3"),
        ({"max_length": 4}, (1, 8), "a text of 8 tokens has no positions beyond config.model.max_length=4"),
        (
            {"form": "siglip"},
            (1, 7),
            "at the last of its 8 places, and a row has 7: set --config.data.max_length=8, or",
        ),
        ({"text_heads": 5}, (1, 8), "text_width=24 does not divide by text_heads=5"),
        ({"form": "siglip", "embedding": 8}, (1, 8), "SigLIP compares images by their width"),
        ({"variant": "B/31"}, (1, 8), "did you mean"),
    ],
)
def test_sizes_that_cannot_be(changes, shape, message):
    model = Model(12, **SMALL | changes)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGE, np.zeros(shape, int), train=False))
