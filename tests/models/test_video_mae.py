"""VideoMAE: published counts, tubes, and what its classifier begins with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import masking, video_mae, vivit
from tasks import reconstruct

# 2203.12602, of 16 frames of 224 pixels. transformers' default leaves the encoder's last LayerNorm out, as here.
PUBLISHED = {"S/16x2": 24_028_608, "B/16x2": 94_209_408, "L/16x2": 317_779_968}
CLASSIFIERS = {"S/16x2": 22_033_936, "B/16x2": 86_534_800, "L/16x2": 304_270_736}
SMALL = dict(width=16, depth=1, mlp_dim=32, heads=2, patch=4, tubelet=2)
CLIP = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 16, 16, 1)), jnp.float32)  # 2 x 4 x 4 tubelets
MODEL = video_mae.Model(1, **SMALL, masked=0.75)


def count(model):
    shapes = jax.eval_shape(
        lambda: model.init(jax.random.key(0), jnp.zeros((1, 16, 224, 224, 3)), train=False)["params"]
    )
    return sum(x.size for x in jax.tree.leaves(shapes))


@pytest.mark.parametrize("variant", PUBLISHED)
def test_parameter_counts(variant):
    assert count(video_mae.Model(1, variant, last_norm=False)) == PUBLISHED[variant]
    classifier = vivit.Model(400, variant, head="gap", positions="sinusoid_1d", key_bias=False)
    assert count(classifier) == CLASSIFIERS[variant]


def test_published_weights_have_a_last_norm():
    assert count(video_mae.Model(1, "S/16x2")) == PUBLISHED["S/16x2"] + 2 * 384


@pytest.fixture(scope="module")
def params():
    found = jax.jit(lambda: MODEL.init(jax.random.key(1), CLIP, train=False)["params"])()
    return jax.tree.map(lambda x: x + 0.1, found)  # a token of zeros would hide what reads it


def test_tubes_hide_the_same_places_at_all_times(params):
    places = masking.order(jax.random.key(3), 5, 6)
    order = np.asarray(masking.tubes(places, 4, 3))
    assert (np.sort(order) == np.arange(18)).all()
    hidden = np.asarray(masking.hidden(jnp.asarray(order), 12)).reshape(5, 3, 6)
    assert (hidden == hidden[:, :1]).all()
    assert (hidden.sum(-1) == 4).all()


def test_the_encoder_does_not_see_what_is_hidden_and_the_decoder_draws_every_tubelet(params):
    draw = jax.jit(lambda clip: MODEL.apply({"params": params}, clip, jnp.arange(2), train=False))
    drawn, hidden = draw(CLIP)
    assert (drawn.shape, hidden.shape) == ((2, 32, 2 * 4 * 4), (2, 2, 4, 4))
    mask = np.asarray(hidden).repeat(2, 1).repeat(4, 2).repeat(4, 3)[..., None]
    np.testing.assert_allclose(draw(jnp.where(mask, 99.0, CLIP))[0], drawn, atol=1e-5)
    assert not np.allclose(draw(jnp.where(mask, CLIP, 99.0))[0], drawn, atol=1e-2)


def test_a_classifier_has_the_same_parameters_but_for_the_decoder(params):
    classifier = vivit.Model(3, **SMALL, head="gap", positions="sinusoid_1d", key_bias=False)
    own = jax.eval_shape(lambda: classifier.init(jax.random.key(0), CLIP, train=False)["params"])
    shapes = jax.tree.map(jnp.shape, params)
    assert set(params) - set(own) == {"reconstruction"}
    assert set(own) - set(params) == {"head"}
    assert {name: jax.tree.map(jnp.shape, own[name]) for name in set(own) & set(params)} == {
        name: shapes[name] for name in set(own) & set(params)
    }
    assert "bias" not in own["encoder"]["block_00"]["attention"]["key"]
    without = video_mae.Model(0, **SMALL)
    there = {"params": {name: params[name] for name in ("embedding", "encoder", "norm")}}
    representation = without.apply(there, CLIP, train=False)
    np.testing.assert_allclose(classifier.clone(outputs=0).apply(there, CLIP, train=False), representation)


def test_the_error_is_that_of_hidden_tubelets_each_channel_by_itself():
    rng = np.random.default_rng(1)
    clip, drawn = rng.normal(size=(2, 4, 4, 4, 3)), rng.normal(size=(2, 8, 2 * 2 * 2 * 3))
    hidden = np.zeros((2, 2, 2, 2), bool)
    hidden[:, :, 0, 1] = True
    cut = [
        clip[:, 2 * t : 2 * t + 2, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(2, -1, 3)
        for t in range(2)
        for i in range(2)
        for j in range(2)
    ]
    target = np.stack(cut, 1)
    np.testing.assert_array_equal(reconstruct.patches(clip, (2, 2, 2)), target.reshape(2, 8, -1))
    np.testing.assert_array_equal(reconstruct.unpatched(target.reshape(2, 8, -1), clip.shape, (2, 2, 2)), clip)
    target = (target - target.mean(2, keepdims=True)) / np.sqrt(target.var(2, keepdims=True) + 1e-6)
    task = reconstruct.Task(by_channel=True, inputs=("clip",))
    batch = {"clip": jnp.asarray(clip), "mask": jnp.ones(2)}
    total, weight = task.sums(lambda _, index: (jnp.asarray(drawn), jnp.asarray(hidden)), batch, True)["loss"]
    expected = np.square(drawn - target.reshape(2, 8, -1))[hidden.reshape(2, -1)].mean()
    assert float(total / weight) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masked": 0.01}, r"config.model.masked=0.01 hides 0 of 16 places of a frame"),
        ({"attention": "factorised"}, "factorised needs whole frames"),
        ({"decoder_width": 10}, "decoder_width=10 must divide by 4"),
    ],
)
def test_what_cannot_be_is_one_line(changes, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(lambda: video_mae.Model(1, **SMALL | changes).init(jax.random.key(0), CLIP, train=False))


def test_several_views_are_one_line():
    with pytest.raises(UserError, match=r"draws one view of a video: set config.data.eval_clips and eval_crops to 1"):
        jax.eval_shape(lambda: MODEL.init(jax.random.key(0), CLIP[:, None], train=False))
