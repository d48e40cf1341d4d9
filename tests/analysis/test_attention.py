"""The attention that figures show is that of the forward pass that gives the logits, scanned or not."""

from functools import partial

import jax
import numpy as np
import pytest

from analysis import attention
from models import mae, vit
from training.trees import by_name
from weights import transplant

SIZES = dict(outputs=3, width=8, depth=3, mlp_dim=8, heads=2, patch=4)


def see(model, params, images) -> attention.Seen:
    return jax.jit(partial(attention.see, model))({"params": params}, images)


def made(model, shape: tuple[int, ...] = (2, 8, 12, 1)) -> tuple:
    """A model's parameters, none of them zero, and images."""
    images = jax.random.normal(jax.random.key(1), shape)
    params = jax.jit(partial(model.init, train=False))(jax.random.key(0), images)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    return jax.tree.unflatten(
        tree, [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    ), images


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("head", ["token", "gap", "map"])
def test_logits_with_probes_are_those_without(scan, head):
    model = vit.Model(**SIZES, head=head, scan=scan)
    params, images = made(model)
    seen = see(model, params, images)
    logits = jax.jit(partial(model.apply, train=False))({"params": params}, images)
    np.testing.assert_allclose(seen.output, logits, atol=1e-5)
    tokens = 6 + (head == "token")
    assert seen.attention.shape == (3, 2, 2, tokens, tokens)
    np.testing.assert_allclose(seen.attention.sum(-1), 1, atol=1e-5)


def test_layers_come_in_order_scanned_or_not():
    written, scanned = (vit.Model(**SIZES, scan=scan) for scan in (False, True))
    params, images = made(written)
    shapes = {path: x.shape for path, x in by_name(made(scanned)[0]).items()}
    taken, _ = transplant.fit(by_name(jax.device_get(params)), shapes, (None, None), "written")
    stacked = jax.tree.unflatten(jax.tree.structure(made(scanned)[0]), list(taken.values()))
    a, b = see(written, params, images), see(scanned, stacked, images)
    np.testing.assert_allclose(a.attention, b.attention, atol=1e-5)
    assert np.abs(a.attention[0] - a.attention[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("head", "reading"),
    [("token", [1, 0, 0, 0, 0]), ("distilled", [0.5, 0.5, 0, 0, 0, 0]), ("gap", [0.25] * 4)],
)
def test_reading_weighs_the_tokens_that_the_head_sees(head, reading):
    model = vit.Model(**SIZES, head=head)
    params, images = made(model, (1, 8, 8, 1))
    np.testing.assert_allclose(see(model, params, images).reading, [reading])


def test_a_pooling_head_reads_what_its_query_attends_to():
    model = vit.Model(**SIZES, head="map")
    params, images = made(model)
    reading = see(model, params, images).reading
    assert reading.shape == (2, 6)
    np.testing.assert_allclose(reading.sum(-1), 1, atol=1e-5)
    assert np.ptp(reading) > 1e-3


def test_images_go_through_a_few_at_a_time(monkeypatch):
    model = vit.Model(**SIZES)
    params, images = made(model, (5, 8, 8, 1))
    whole = attention.all_at_once(model, {"params": params}, np.asarray(images))
    monkeypatch.setattr(attention, "MEMORY", 2 * 4 * 3 * 2 * 5 * 5)  # two images' attention
    parts = list(attention.passes(model, {"params": params}, np.asarray(images)))
    assert [len(part.output) for part in parts] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate([p.attention for p in parts], 1), whole.attention, atol=1e-5)


def test_a_masked_autoencoder_sees_whole_images():
    model = mae.Model(**SIZES, decoder_width=8, decoder_depth=1, decoder_heads=2).clone(outputs=0)
    params, images = made(model)
    assert see(model, params, images).attention.shape == (3, 2, 2, 7, 7)


def test_maps_leave_out_tokens_that_are_not_patches():
    weights = np.arange(8.0)[None]  # two tokens before 2 x 3 patches
    np.testing.assert_array_equal(attention.patch_maps(weights, (2, 3)), [[[2, 3, 4], [5, 6, 7]]])
