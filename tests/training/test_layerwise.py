import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

import models
from errors import UserError
from training import layerwise, optim, step
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


def scales_of(params):
    """The scales of parameters that stand in the order in which their model comes to them."""
    return layerwise.scales(params, 0.5, list(flatten_dict(params, sep="/")))


class AnyTask:
    """Calls a model with what a batch has."""

    def sums(self, apply, batch, train):
        apply(*batch.values())
        return {}


def scales_of_model(name: str, *inputs: jax.ShapeDtypeStruct, **arguments) -> dict:
    """The scales of a model's parameters, by name."""
    model, batch = models.build(name, **arguments), dict(zip("ab", inputs, strict=False))
    params = jax.eval_shape(
        lambda batch: model.init(jax.random.key(0), *batch.values(), train=False)["params"],
        batch,
    )
    return by_name(layerwise.scales(params, 0.5, step.order(model, AnyTask(), batch)))


TOKENS = jax.ShapeDtypeStruct((2, 6), jnp.int32)
SMALL = dict(width=8, depth=2, mlp_dim=8, heads=2)


@pytest.mark.parametrize(
    ("name", "arguments", "before"),
    [
        (
            "classifier",
            dict(vocabulary=9, pooling="token", positions="learned", max_length=8),
            {"Embed_0", "token", "positions"},
        ),
        ("classifier", dict(vocabulary=9, scan=True), {"Embed_0"}),
        ("gpt", dict(max_length=8), {"embedding", "positions"}),
    ],
)
def test_what_a_model_of_texts_comes_to_before_its_blocks_is_its_lowest_layer(name, arguments, before):
    scales = scales_of_model(name, TOKENS, outputs=3, **SMALL, **arguments)
    outside = {path: scale for path, scale in scales.items() if "block" not in path}
    assert {path.split("/")[0] for path, scale in outside.items() if scale == 0.125} == before
    assert {scale for path, scale in outside.items() if path.split("/")[0] not in before} <= {1.0}


def test_the_names_of_a_models_parts_do_not_matter():
    params = {"lookup_table": ONE, "main": {"block_00": BLOCK, "block_01": BLOCK}, "embedding_of_answers": ONE}
    scales = scales_of(params)
    assert (scales["lookup_table"], scales["embedding_of_answers"]) == (0.125, 1)


def test_every_layer_learns_less_than_the_one_above():
    scales = scales_of(WRITTEN_OUT)
    assert (scales["embedding"]["kernel"], scales["positions"]["embedding"], scales["token"]) == (0.125,) * 3
    assert scales["encoder"]["block_00"]["mlp"]["kernel"] == 0.25
    assert scales["encoder"]["block_01"]["mlp"]["kernel"] == 0.5
    assert (scales["encoder"]["norm"]["scale"], scales["head"]["kernel"]) == (1, 1)


def test_stacked_layers_have_the_same_rates():
    stacked = scales_of(STACKED)["encoder"]["blocks"]["mlp"]["kernel"]
    np.testing.assert_allclose(stacked, np.array([0.25, 0.5])[:, None, None])


def test_a_transformer_counts_the_layers_of_its_encoder_and_its_decoder():
    """Each text embedding and position learns as little as what stands before the first block of its model does."""
    found = scales_of_model(
        "transformer", TOKENS, TOKENS,
        outputs=24, source_vocabulary=20, decoder_depth=1, tie="none", positions="learned", max_length=8, **SMALL,
    )  # fmt: skip
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
    scales = scales_of(params)
    assert scales["embedding"]["kernel"] == 0.125
    assert scales["decoder"]["embedding"]["kernel"] == 0.25
    assert scales["decoder"]["encoder"]["block_00"]["mlp"]["kernel"] == 0.5
    assert scales["decoder"]["pixels"] == 1


def test_a_vits_scales():
    """Of every parameter of a ViT with a stem, as they were when models were fine-tuned with them."""
    scales = scales_of_model(
        "vit", jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32),
        outputs=10, patch=1, head="token", stem="cifar", stem_depths=(1,), stem_width=8, representation=True, **SMALL,
    )  # fmt: skip
    for name, scale in scales.items():
        first = name.split("/")[0]
        expected = {"stem": 0.125, "embedding": 0.125, "token": 0.125, "positions": 0.125}.get(first, 1.0)
        expected = next((0.5 ** (2 - n) for n in (0, 1) if f"/block_0{n}/" in name), expected)
        assert scale == expected, name


@pytest.mark.parametrize("params", [WRITTEN_OUT, STACKED])
def test_the_rates_reach_the_weights(params):
    optimiser, _ = optim.make(
        name="sgd",
        learning_rate=1.0,
        total_steps=9,
        schedule="constant",
        momentum=0.0,
        clip_norm=0.0,
        layer_decay=0.5,
        order=lambda: list(flatten_dict(params, sep="/")),
    )
    updates, _ = optimiser.update(params, optimiser.init(params), params)
    after = optax.apply_updates(params, updates)
    assert float(after["embedding"]["kernel"][0]) == pytest.approx(1 - 0.125)
    assert float(after["head"]["kernel"][0]) == pytest.approx(0)


def test_what_is_frozen_is_still_a_layer_and_still_a_parameter_that_decay_names():
    def updates(*frozen: str) -> dict:
        settings = dict(learning_rate=1.0, schedule="constant", momentum=0.0, clip_norm=0.0, weight_decay=0.1)
        settings |= dict(layer_decay=0.5, decay=(".*/kernel", "positions/.*"))
        order = lambda: list(flatten_dict(WRITTEN_OUT, sep="/"))  # noqa: E731
        optimiser, _ = optim.make(name="sgd", total_steps=9, frozen=frozen, order=order, **settings)
        return by_name(optimiser.update(WRITTEN_OUT, optimiser.init(WRITTEN_OUT), WRITTEN_OUT)[0])

    whole, lower, head = updates(), updates("encoder/block_01/.*", "positions/.*"), updates("(?!head/).*")
    for found, trained in ((lower, ("embedding/kernel", "encoder/block_00/mlp/kernel")), (head, ("head/kernel",))):
        for name in trained:
            np.testing.assert_array_equal(found[name], whole[name])
    assert not lower["encoder/block_01/mlp/kernel"].any()
    with pytest.raises(UserError, match=r"'position/.*' matches no parameter"):
        optim.decayed({"head": ONE}, ("position/.*",), lambda: ["positions/embedding"])


def test_a_model_without_blocks_has_no_layers():
    with pytest.raises(UserError, match="layer_decay needs a model of blocks in a row"):
        scales_of({"head": ONE})


@pytest.mark.parametrize(
    ("patterns", "line"),
    [(("encodr/.*",), "'encodr/.*' matches no parameter"), ((".*",), "matches every parameter")],
)
def test_patterns_that_freeze_nothing_or_all_are_refused(patterns, line):
    with pytest.raises(UserError, match=line):
        layerwise.frozen(WRITTEN_OUT, patterns)
