import jax.numpy as jnp
import numpy as np
import optax
import pytest

from errors import UserError
from training import layerwise, optim

ONE = jnp.ones(2)
BLOCK = {"mlp": {"kernel": jnp.ones((2, 2))}}
WRITTEN_OUT = {
    "embedding": {"kernel": ONE},
    "positions": {"embedding": ONE},
    "token": ONE,
    "encoder": {"block_00": BLOCK, "block_01": BLOCK, "norm": {"scale": ONE}},
    "head": {"kernel": ONE},
}
STACKED = WRITTEN_OUT | {"encoder": {"blocks": {"mlp": {"kernel": jnp.ones((2, 2, 2))}}, "norm": {"scale": ONE}}}


def test_every_layer_learns_less_than_the_one_above():
    scales = layerwise.scales(WRITTEN_OUT, 0.5)
    assert (scales["embedding"]["kernel"], scales["positions"]["embedding"], scales["token"]) == (0.125,) * 3
    assert scales["encoder"]["block_00"]["mlp"]["kernel"] == 0.25
    assert scales["encoder"]["block_01"]["mlp"]["kernel"] == 0.5
    assert (scales["encoder"]["norm"]["scale"], scales["head"]["kernel"]) == (1, 1)


def test_stacked_layers_have_the_same_rates():
    stacked = layerwise.scales(STACKED, 0.5)["encoder"]["blocks"]["mlp"]["kernel"]
    np.testing.assert_allclose(stacked, np.array([0.25, 0.5])[:, None, None])


@pytest.mark.parametrize("params", [WRITTEN_OUT, STACKED])
def test_the_rates_reach_the_weights(params):
    optimiser, _ = optim.make(
        name="sgd", learning_rate=1.0, total_steps=9, schedule="constant", momentum=0.0, layer_decay=0.5
    )
    updates, _ = optimiser.update(params, optimiser.init(params), params)
    after = optax.apply_updates(params, updates)
    assert float(after["embedding"]["kernel"][0]) == pytest.approx(1 - 0.125)
    assert float(after["head"]["kernel"][0]) == pytest.approx(0)


def test_a_model_without_blocks_has_no_layers():
    with pytest.raises(UserError, match="layer_decay needs a model of blocks in a row"):
        layerwise.scales({"head": ONE}, 0.5)


@pytest.mark.parametrize(
    ("patterns", "line"),
    [(("encodr/.*",), "'encodr/.*' matches no parameter"), ((".*",), "matches every parameter")],
)
def test_patterns_that_freeze_nothing_or_all_are_refused(patterns, line):
    with pytest.raises(UserError, match=line):
        layerwise.frozen(WRITTEN_OUT, patterns)
