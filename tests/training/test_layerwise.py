import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import models
from errors import UserError
from training import layerwise, optim
from training.trees import by_name

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


def test_a_transformer_counts_the_layers_of_its_encoder_and_its_decoder():
    """Each text embedding and position learns as little as what stands before the first block of its model does."""
    model = models.build(
        "transformer",
        outputs=24,
        source_vocabulary=20,
        width=8,
        depth=2,
        decoder_depth=1,
        mlp_dim=8,
        heads=2,
        tie="none",
        positions="learned",
        max_length=8,
    )
    tokens = jax.ShapeDtypeStruct((2, 6), jnp.int32)
    params = jax.eval_shape(lambda t: model.init(jax.random.key(0), t, t, train=False)["params"], tokens)
    found = by_name(layerwise.scales(params, 0.5))
    inputs = {name: scale for name, scale in found.items() if "block" not in name and name != "head/kernel"}
    assert sorted(inputs) == [
        "embedding/embedding",
        "source_embedding/embedding",
        "source_positions/embedding",
        "target_positions/embedding",
    ]
    assert set(inputs.values()) == {0.125}  # of the deeper stack
    assert found["encoder/block_00/mlp/expand/kernel"] == 0.25
    assert found["encoder/block_01/mlp/expand/kernel"] == 0.5
    assert found["decoder/block_00/mlp/expand/kernel"] == 0.5
    assert found["head/kernel"] == 1


def test_a_decoder_of_its_own_counts_from_its_own_embedding():
    params = WRITTEN_OUT | {"decoder": {"embedding": {"kernel": ONE}, "encoder": {"block_00": BLOCK}, "pixels": ONE}}
    scales = layerwise.scales(params, 0.5)
    assert scales["embedding"]["kernel"] == 0.125
    assert scales["decoder"]["embedding"]["kernel"] == 0.25
    assert scales["decoder"]["encoder"]["block_00"]["mlp"]["kernel"] == 0.5
    assert scales["decoder"]["pixels"] == 1


def test_a_vits_scales():
    """Of every parameter of a ViT with a stem, as they were when models were fine-tuned with them."""
    model = models.build(
        "vit", outputs=10, patch=1, head="token", stem="cifar", stem_depths=(1,), stem_width=8, representation=True,
        width=8, depth=2, mlp_dim=8, heads=2,
    )  # fmt: skip
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    params = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False)["params"], image)
    for name, scale in by_name(layerwise.scales(params, 0.5)).items():
        first = name.split("/")[0]
        expected = {"stem": 0.125, "embedding": 0.125, "token": 0.125, "positions": 0.125}.get(first, 1.0)
        expected = next((0.5 ** (2 - n) for n in (0, 1) if f"/block_0{n}/" in name), expected)
        assert scale == expected, name


@pytest.mark.parametrize("params", [WRITTEN_OUT, STACKED])
def test_the_rates_reach_the_weights(params):
    optimiser, _ = optim.make(
        name="sgd", learning_rate=1.0, total_steps=9, schedule="constant", momentum=0.0, clip_norm=0.0, layer_decay=0.5
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
