"""TimeSformer: published counts, who sees whom, and several views of a video."""

import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import timesformer, vit, vivit
from training.trees import by_name
from weights import transplant

# 2102.05095, of 8 frames of 224 pixels and 400 classes.
PUBLISHED = {"divided": 121_566_352, "space": 86_106_256, "joint": 86_112_400}
SMALL = dict(width=16, depth=2, mlp_dim=32, heads=2, patch=4)
CLIP = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 8, 8, 1)), jnp.float32)


@pytest.mark.parametrize("attention", PUBLISHED)
def test_parameter_counts(attention):
    model = timesformer.Model(400, "B/16", attention=attention)
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 8, 224, 224, 3)), train=False)["params"]
    )
    assert sum(x.size for x in jax.tree.leaves(shapes)) == PUBLISHED[attention]


@pytest.fixture(scope="module")
def drawn():
    """attention -> the representation as a function of a clip; no parameter is 0."""

    def draw(attention):
        model = timesformer.Model(0, **SMALL, attention=attention)
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(1), CLIP, train=False)["params"])
        rng = np.random.default_rng(2)
        params = jax.tree.map(lambda x: jnp.asarray(0.2 * rng.normal(size=x.shape), jnp.float32), shapes)
        return jax.jit(lambda clip: model.apply({"params": params}, clip, train=False))

    return {attention: draw(attention) for attention in PUBLISHED}


def test_the_order_of_frames_matters_but_to_space_alone(drawn):
    for attention, represent in drawn.items():
        differ = np.abs(represent(CLIP[:, ::-1]) - represent(CLIP)).max()
        assert (differ < 1e-5) == (attention == "space"), attention


def test_of_several_views_the_mean_counts(drawn):
    views = jnp.stack([CLIP, CLIP[:, :, ::-1], CLIP[:, :, :, ::-1]], axis=1)
    for represent in drawn.values():
        expected = np.mean([represent(views[:, i]) for i in range(3)], axis=0)
        np.testing.assert_allclose(represent(views), expected, atol=1e-5)


def test_before_the_first_step_time_has_no_part_but_in_the_first_layer():
    model = timesformer.Model(0, **SMALL)
    layers = jax.jit(lambda: model.init(jax.random.key(1), CLIP, train=False)["params"]["encoder"])()
    assert np.abs(layers["block_00"]["time_out"]["kernel"]).max() > 0
    assert not np.abs(layers["block_01"]["time_out"]["kernel"]).max()


def test_divided_attention_is_the_papers_by_hand(drawn):
    """One layer written out: time for each place, space for each frame, the class token in every frame."""
    model = timesformer.DividedBlock(2, 32, True, 0.0, False, "gelu", 1e-6, "auto", jnp.float32)
    x = jnp.asarray(np.random.default_rng(3).normal(size=(1, 1 + 3 * 4, 16)), jnp.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, jnp.zeros(()), 3, False)["params"])
    rng = np.random.default_rng(4)
    p = jax.tree.map(lambda x: 0.3 * rng.normal(size=x.shape).astype(np.float32), shapes)
    found = np.asarray(jax.jit(lambda p: model.apply({"params": p}, x, jnp.zeros(()), 3, False))(p))[0]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * p[name]["scale"] + p[name]["bias"]

    def attention(x, name):
        q, k, v = (np.einsum("nd,dhk->nhk", x, p[name][of]["kernel"]) + p[name][of]["bias"] for of in
                   ("query", "key", "value"))  # fmt: skip
        scores = np.exp(np.einsum("nhk,mhk->hnm", q, k) / np.sqrt(8))
        mixed = np.einsum("hnm,mhk->nhk", scores / scores.sum(-1, keepdims=True), v)
        return np.einsum("nhk,hkd->nd", mixed, p[name]["out"]["kernel"]) + p[name]["out"]["bias"]

    token, patches = np.asarray(x)[0, 0], np.asarray(x)[0, 1:].reshape(3, 4, 16)
    along = np.stack([attention(norm(patches[:, n], "time_norm"), "time_attention") for n in range(4)], 1)
    patches = patches + along @ p["time_out"]["kernel"] + p["time_out"]["bias"]
    frames = [attention(norm(np.vstack([token, frame]), "attention_norm"), "attention") for frame in patches]
    token = token + np.mean([frame[0] for frame in frames], axis=0)
    patches = patches + np.stack([frame[1:] for frame in frames])
    whole = np.vstack([token, patches.reshape(-1, 16)])
    hidden = norm(whole, "mlp_norm") @ p["mlp"]["expand"]["kernel"] + p["mlp"]["expand"]["bias"]
    hidden = np.asarray(jax.nn.gelu(hidden, approximate=False))
    whole = whole + hidden @ p["mlp"]["contract"]["kernel"] + p["mlp"]["contract"]["bias"]
    np.testing.assert_allclose(found, whole, atol=2e-5)


@pytest.mark.parametrize("attention", PUBLISHED)
def test_layers_can_be_computed_again_and_dropped_in_training(attention):
    model = timesformer.Model(3, **SMALL, attention=attention, remat="full", stochastic_depth=0.2, dropout=0.1)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), CLIP, train=False)["params"])

    def loss(params):
        return model.apply({"params": params}, CLIP, train=True, rngs={"dropout": jax.random.key(0)}).sum()

    traced = jax.make_jaxpr(jax.grad(loss))(shapes)
    assert str(traced).count("remat") >= 2


def test_weights_of_images_are_those_of_space():
    of_images = vit.Model(0, **SMALL)
    found = jax.eval_shape(lambda: of_images.init(jax.random.key(1), CLIP[:, 0], train=False)["params"])
    found = {name: np.zeros(x.shape) for name, x in by_name(found).items()}
    model = timesformer.Model(0, **SMALL)
    own = jax.eval_shape(lambda: model.init(jax.random.key(0), CLIP, train=False)["params"])
    shapes = {name: x.shape for name, x in by_name(own).items()}
    taken, _ = transplant.fit(found, shapes, ((2, 2), None), "an image model", ("time_positions", ".*/time_.*"))
    assert set(taken) == set(found)


def test_how_a_timesformers_own_weights_of_time_are_taken_over_is_said():
    model = timesformer.Model(3, **SMALL)
    own = jax.eval_shape(lambda: model.init(jax.random.key(0), CLIP, train=False)["params"])
    shapes = {name: x.shape for name, x in by_name(own).items()}
    found = {name: np.zeros(shape) for name, shape in shapes.items()}
    fresh = ("head/.*", "pre_logits/.*", "time_positions", ".*/time_.*")
    taken, line = transplant.fit(found, shapes, (None, None), "a TimeSformer", fresh)
    *_, flag = shlex.split(line)
    assert flag == "--config.init_fresh=('head/.*',)"
    assert f"has {len(shapes) - len(taken) - 2} of those that begin anew; to take them over" in line
    taken, line = transplant.fit(found, shapes, (None, None), "a TimeSformer", ("head/.*",))
    assert set(taken) == {name for name in shapes if not name.startswith("head/")}
    assert "note:" not in line


def test_what_cannot_be_is_one_line():
    with pytest.raises(UserError, match="frames of 8x6 do not divide into patches of 4"):
        jax.eval_shape(lambda: timesformer.Model(3, **SMALL).init(jax.random.key(0), CLIP[:, :, :, :6], train=False))
    model = vivit.Model(3, **SMALL, tubelet=1, positions="relative")
    with pytest.raises(UserError, match="positions=relative is for images"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), CLIP, train=False))
