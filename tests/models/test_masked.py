"""Models that learn from images part of which is hidden."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import mae, masked_patches, masking, vit

SIZE = dict(width=16, depth=2, mlp_dim=32, heads=2, patch=4)
DECODER = dict(decoder_width=8, decoder_depth=1, decoder_heads=2)
IMAGE = jax.random.normal(jax.random.key(0), (3, 16, 8, 2))  # 4 x 2 patches


def initialised(model):
    params = jax.jit(lambda: model.init(jax.random.key(1), IMAGE, train=False)["params"])()
    return jax.tree.map(lambda x: x + 0.1, params)  # a token of zeros would hide what reads it


@pytest.fixture(scope="module")
def autoencoder():
    model = mae.Model(outputs=1, masked=0.75, **SIZE, **DECODER)
    return model, initialised(model)


def test_as_many_patches_are_hidden_as_asked_for_and_others_each_time():
    order = masking.order(jax.random.key(0), 5, 12)
    hidden = masking.hidden(order, 9)
    assert (hidden.sum(1) == 9).all()
    assert len({row.tobytes() for row in np.asarray(hidden)}) > 1
    for row, where in zip(hidden, order, strict=True):
        assert row[where[3:]].all()
        assert not row[where[:3]].any()


def test_the_encoder_does_not_see_what_is_hidden_and_the_decoder_draws_every_patch(autoencoder):
    model, params = autoencoder
    draw = jax.jit(lambda image: model.apply({"params": params}, image, train=False))
    drawn, hidden = draw(IMAGE)
    assert drawn.shape == (3, 8, 4 * 4 * 2)
    assert (hidden.sum(1) == 6).all()
    mask = np.asarray(hidden).reshape(3, 4, 2).repeat(4, axis=1).repeat(4, axis=2)[..., None]
    np.testing.assert_allclose(draw(jnp.where(mask, 99.0, IMAGE))[0], drawn, atol=1e-5)
    assert not np.allclose(draw(jnp.where(mask, IMAGE, 99.0))[0], drawn, atol=1e-2)


def test_masks_are_drawn_anew_in_training(autoencoder):
    model, params = autoencoder
    masks = [
        model.apply({"params": params}, IMAGE, train=True, rngs={"dropout": jax.random.key(i)})[1] for i in (0, 0, 1)
    ]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any()


@pytest.mark.parametrize("module", [mae, masked_patches])
def test_what_an_evaluation_hides_of_an_image_does_not_depend_on_its_batch(module):
    model = module.Model(outputs=1, **SIZE, **(DECODER if module is mae else dict(colors=64)))
    params, index = initialised(model), jnp.array([7, 2, 5])
    of = jax.jit(lambda image, index: model.apply({"params": params}, image, index, train=False))
    whole = of(IMAGE, index)
    assert len({row.tobytes() for row in np.asarray(whole[1])}) > 1
    for row in range(3):
        alone = of(IMAGE[row : row + 1], index[row : row + 1])
        np.testing.assert_array_equal(alone[1][0], whole[1][row])
        np.testing.assert_allclose(alone[0][0], whole[0][row], atol=1e-5)


@pytest.mark.parametrize(
    ("module", "own"), [(mae, {"reconstruction"}), (masked_patches, {"prediction", "prediction_mask"})]
)
def test_a_vit_has_the_same_parameters_and_the_same_representation(module, own):
    more = DECODER if module is mae else dict(colors=64)
    model, params = module.Model(outputs=1, **SIZE, **more), None
    params = initialised(model)
    plain = vit.Model(outputs=0, **SIZE)
    assert set(params) - set(initialised(plain)) == own
    apply = lambda m: m.apply({"params": params}, IMAGE, train=False)  # noqa: E731
    np.testing.assert_array_equal(apply(model.clone(outputs=0)), apply(plain))


def test_corrupted_patches_are_replaced_exchanged_or_left_in_the_papers_shares():
    x = jnp.arange(200 * 64.0).reshape(200, 64, 1)
    after, chosen = masking.corrupt(jax.random.key(0), x, jnp.full((1, 1, 1), -1.0), 32)
    assert (chosen.sum(1) == 32).all()
    before, after = np.asarray(x)[..., 0], np.asarray(after)[..., 0]
    np.testing.assert_array_equal(after[~np.asarray(chosen)], before[~np.asarray(chosen)])
    fate = after[np.asarray(chosen)]
    same = fate == before[np.asarray(chosen)]
    assert (fate == -1).mean() == pytest.approx(0.8, abs=0.02)
    assert same.mean() == pytest.approx(0.1 + 0.1 / 64, abs=0.02)
    image = np.broadcast_to(np.arange(200)[:, None], (200, 64))[np.asarray(chosen)]
    np.testing.assert_array_equal((fate // 64)[fate >= 0], image[fate >= 0])  # another patch of the same image


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (mae.Model(outputs=1, masked=1.0, **SIZE), r"config.model.masked=1.0 hides 8 of 8 patches"),
        (masked_patches.Model(outputs=1, masked=0.0, **SIZE), r"config.model.masked=0.0 corrupts 0 of 8 patches"),
        (mae.Model(outputs=1, decoder_width=10, **SIZE), r"decoder_width=10 must divide by 4"),
    ],
)
def test_shares_that_hide_nothing_or_all_are_refused(model, line):
    with pytest.raises(UserError, match=line):
        jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGE, train=False))


def test_a_distilled_vit_has_two_heads_in_training_and_their_mean_after_it():
    model = vit.Model(outputs=5, head="distilled", **SIZE)
    params = initialised(model)
    both = model.apply({"params": params}, IMAGE, train=True)
    assert both.shape == (3, 2, 5)
    np.testing.assert_allclose(model.apply({"params": params}, IMAGE, train=False), both.mean(1), atol=1e-6)
    # DeiT's: two tokens, two heads, two more positions.
    extra = sum(x.size for x in jax.tree.leaves(params)) - sum(
        x.size for x in jax.tree.leaves(initialised(vit.Model(outputs=5, **SIZE)))
    )
    assert extra == 16 + 16 + 16 * 5 + 5
