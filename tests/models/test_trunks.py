"""Trunks of dense tasks: maps at the strides that were asked for, and what ResNets are made of."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import residual
from models.trunks import Trunk

SMALL = {
    "residual": dict(width=8, depths=(1, 1, 1), root="small", norm="batch"),
    "bit": dict(width=8, depths=(1, 1), root="imagenet"),
    "swin": dict(width=8, depths=(1, 1, 1), head_dim=4, window=2, patch=2, version="2"),
    "vit": dict(width=8, depths=(1,), head_dim=4, patch=8),
}
STRIDES = {"residual": (2, 4, 8), "bit": (4, 8), "swin": (2, 4, 8), "vit": (2, 4, 8, 16)}


class Dense(nn.Module):
    trunk: Trunk
    strides: tuple[int, ...]

    @nn.compact
    def __call__(self, image, train):
        return {one.stride: one.features for one in self.trunk.maps(image, self.strides, train=train)}


@pytest.mark.parametrize("name", SMALL)
def test_a_trunk_has_maps_of_the_strides_that_are_asked_for(name):
    model, image = Dense(Trunk(name=name, **SMALL[name]), STRIDES[name]), jnp.zeros((2, 32, 48, 1))
    maps, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), image, train=False))
    assert {stride: x.shape[:3] for stride, x in maps.items()} == {s: (2, 32 // s, 48 // s) for s in STRIDES[name]}
    with pytest.raises(UserError, match=rf"{name} has no features at stride 3, but at"):
        jax.eval_shape(lambda: model.clone(strides=(3,)).init(jax.random.key(0), image, train=False))


@pytest.mark.parametrize(("variant", "weights"), [("50", 23_454_912), ("101", 42_394_816)])
def test_a_published_resnet_has_its_weights(variant, weights):
    """Of the convolutions: 25,557,032 of ResNet-50 without its classifier (2,049,000) and norms (53,120)."""
    model = Dense(Trunk(name="residual", variant=variant, norm="frozen"), (32,))
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))["params"]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    assert sum(x.size for path, x in leaves if "norm" not in jax.tree_util.keystr(path)) == weights


def test_frozen_statistics_stay_and_trained_ones_move():
    x = jnp.asarray(np.random.default_rng(0).normal(3, 2, (4, 8, 8, 8)), jnp.float32)
    frozen = residual.Frozen()
    params = frozen.init(jax.random.key(0), x)
    grads = jax.grad(lambda p: frozen.apply(p, x).sum())(params)
    assert not any(map(jnp.any, jax.tree.leaves(grads)))
    params["params"] |= {"mean": jnp.full(8, 3.0), "variance": jnp.full(8, 4.0)}
    np.testing.assert_allclose(frozen.apply(params, x), (x - 3) / np.sqrt(4 + 1e-5), rtol=1e-5, atol=1e-6)

    model = Dense(Trunk(name="residual", **SMALL["residual"]), (2,))
    variables = model.init(jax.random.key(0), x, train=False)
    _, moved = model.apply(variables, x, train=True, mutable=["batch_stats"])
    before, after = (v["batch_stats"]["trunk"]["root_norm"]["mean"] for v in (variables, moved))
    assert (before != after).any()
