"""How a mesh splits what: the rules, what follows them, and that no figure depends on it."""

from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import models
import tasks
from errors import UserError
from training import optim, parallel, sharding, step
from training.parallel import Mesh, Pmap
from training.trees import by_name

ALL = tuple(jax.devices())
SIZES = {"fsdp": 2, "tensor": 2}
ENCODER = dict(width=16, depth=2, mlp_dim=32, heads=2)
TOKENS = {name: jax.ShapeDtypeStruct((16, 6), jnp.int32) for name in ("source", "target")}
TRANSFORMER = models.build("transformer", outputs=24, source_vocabulary=None, **ENCODER)
TRANSLATE = tasks.build("translate")


def state(model, task=TRANSLATE, batch=TOKENS, name="adamw") -> step.State:
    """Shapes alone."""
    optimiser, _ = optim.make(name=name, learning_rate=0.1, total_steps=30)
    return jax.eval_shape(
        partial(step.initialise, model=model, task=task, optimiser=optimiser, batch=batch, seed=0, ema=True)
    )


def image_state(**changes) -> step.State:
    return state_of_images(models.build("vit", outputs=10, **(ENCODER | dict(patch=4, head="map") | changes)))


def state_of_images(model) -> step.State:
    like = {"image": ((8, 8, 8, 1), jnp.float32), "label": ((8,), jnp.int32), "mask": ((8,), jnp.float32)}
    batch = {name: jax.ShapeDtypeStruct(*x) for name, x in like.items()}
    return state(model, tasks.build("classify"), batch)


def table(state, **arguments) -> dict[str, P]:
    found = sharding.specs(state, SIZES, **arguments)
    leaves = jax.tree_util.tree_leaves_with_path(found, is_leaf=lambda x: isinstance(x, P))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): spec for path, spec in leaves}


RECURRENT = state(
    models.build(
        "seq2seq",
        outputs=24,
        source_vocabulary=None,
        cell="gru",
        attention="bahdanau",
        bidirectional=True,
        embedding_dim=8,
        hidden_dim=8,
    )
)


RESNET = models.build("resnet", outputs=10, width=16, depths=(1, 1), root="cifar")
MIXER = models.build("mixer", outputs=10, width=16, depth=1, token_mlp_dim=8, mlp_dim=32, patch=4)


def test_heads_mlps_and_vocabularies_are_split():
    found = table(state(TRANSFORMER))
    for tree in ("params", "ema", "opt_state/1/mu", "opt_state/1/nu"):
        block = f"{tree}/decoder/block_01"
        assert found[f"{block}/cross_attention/query/kernel"] == P("fsdp", "tensor", None)
        assert found[f"{block}/self_attention/value/bias"] == P("tensor", None)
        assert found[f"{block}/self_attention/out/kernel"] == P("tensor", None, "fsdp")
        assert found[f"{block}/mlp/expand/kernel"] == P("fsdp", "tensor")
        assert sharding.spec(f"{block}/mlp/gate/kernel", (32, 64), SIZES) == P("fsdp", "tensor")
        assert found[f"{block}/mlp/contract/kernel"] == P("tensor", "fsdp")
        assert found[f"{block}/mlp_norm/scale"] == P()
        assert found[f"{tree}/embedding/embedding"] == P("tensor", "fsdp")
    assert found["step"] == found["opt_state/1/count"] == P()


def test_scanned_layers_need_no_rule_of_their_own():
    found = table(image_state(scan=True))
    assert found["params/encoder/blocks/attention/query/kernel"] == P(None, "fsdp", "tensor", None)
    assert found["params/encoder/blocks/mlp/contract/kernel"] == P(None, "tensor", "fsdp")


def test_convolutions_are_split_by_features_and_mixers_mlps_by_their_width():
    found = table(state_of_images(RESNET))
    assert found["params/trunk/stage_1_unit_01/conv_2/kernel"] == P(None, None, "fsdp", "tensor")
    assert found["params/trunk/root_conv/kernel"] == P(None, None, None, "tensor")  # one channel
    found = table(state_of_images(MIXER))
    assert found["params/block_00/token_mlp/expand/kernel"] == P("fsdp", "tensor")
    assert found["params/block_00/mlp/contract/kernel"] == P("tensor", "fsdp")
    # 49 patches are kept whole.
    assert sharding.spec("block_00/token_mlp/contract/kernel", (8, 49), SIZES) == P("tensor", None)


def test_every_rule_serves_a_model_and_nearly_everything_is_split():
    served = set()
    for one in (state(TRANSFORMER), image_state(), RECURRENT, state_of_images(RESNET), state_of_images(MIXER)):
        found = sharding.specs(one, SIZES).params
        sizes = [x.size for x in jax.tree.leaves(one.params)]
        specs = jax.tree.leaves(found, is_leaf=lambda x: isinstance(x, P))
        whole = sum(size for size, spec in zip(sizes, specs, strict=True) if not any(spec))
        assert whole < 0.1 * sum(sizes)
        for name in by_name(one.params):
            served |= {pattern for pattern, _ in sharding.RULES if sharding.re.fullmatch(pattern, name)}
    assert served == {pattern for pattern, _ in sharding.RULES}


def test_factored_moments_are_kept_whole():
    found = table(state(models.build("transformer", outputs=256, source_vocabulary=None, **ENCODER), name="adafactor"))
    moments = {path: spec for path, spec in found.items() if path.endswith("v_row/embedding/embedding")}
    assert list(moments.values()) == [P()]


def test_own_rules_come_first():
    rules = ((".*/expand/kernel", (None, "fsdp")), ("embedding/embedding", (None, None)))
    found = table(state(TRANSFORMER), own=rules)
    assert found["params/encoder/block_00/mlp/expand/kernel"] == P(None, "fsdp")
    assert found["opt_state/1/mu/embedding/embedding"] == P(None, None)
    assert found["params/encoder/block_00/mlp/contract/kernel"] == P("tensor", "fsdp")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            ((".*/expnd/kernel", ("fsdp",)),),
            r"'\.\*/expnd/kernel' matches no parameter. The nearest is '.*/expand/kernel'",
        ),
        (((".*/expand/kernel", ("model",)),), r"'model' of .* splits no parameter: There is: fsdp, tensor"),
        (((".*/expand/kernel", ("fsdp", "fsdp?")),), r"uses one axis twice"),
        (((".*/expand/bias", ("fsdp", None)),), r"names more dimensions than .*expand/bias \[32\] has"),
        ((".*/expand/kernel",), r"should be a pattern and axes"),
        ((("*", ("fsdp",)),), r"should be a pattern and axes"),
    ],
)
def test_a_rule_that_cannot_be_is_said(rules, message):
    with pytest.raises(UserError, match=message):
        sharding.specs(state(TRANSFORMER), SIZES, rules)


def test_a_dimension_that_does_not_divide_is_named():
    with pytest.raises(UserError, match=r"tensor=4 does not divide 2, dimension 0 of .*key/bias \[2, 8\]"):
        sharding.specs(state(TRANSFORMER), {"fsdp": 1, "tensor": 4})
    # A vocabulary of 24 is kept whole by 16 devices, and its width split.
    assert sharding.spec("embedding/embedding", (24, 16), {"fsdp": 2, "tensor": 16}) == P(None, "fsdp")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(mode="mesh", fsdp=3), r"data \? x fsdp 3 x tensor 1 does not make the 8 devices .*fsdp=2"),
        (dict(mode="mesh", data=2, fsdp=2), r"data 2 x fsdp 2 x tensor 1 does not .*data=4 --config.parallel.fsdp=2"),
        (dict(fsdp=16), r"try --config.parallel.data=1 --config.parallel.fsdp=8 --config.parallel.tensor=1"),
        (dict(mode="pmap", tensor=2), r"mode=pmap keeps the whole model on each device"),
    ],
)
def test_a_mesh_that_the_devices_do_not_make_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        parallel.make(**arguments)


def test_auto_takes_a_mesh_where_the_model_is_split_or_alone():
    assert parallel.make() == Pmap(ALL)
    assert parallel.make(tensor=2) == Mesh(ALL, 4, 1, 2)
    assert parallel.make(devices=ALL[:1]) == Mesh(ALL[:1], 1)


@dataclass(frozen=True)
class Chip:
    """A TPU's, as far as a mesh asks."""

    id: int
    coords: tuple[int, int, int]
    process_index: int = 0
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"
    client: None = None


def test_an_axis_of_two_takes_neighbours_of_a_side_of_four():
    chips = [Chip(4 * y + x, (x, y, 0)) for y in range(4) for x in range(4)]
    pairs = parallel.make("mesh", fsdp=2, devices=chips).mesh.devices.reshape(8, 2)
    assert {chip.id for chip in pairs.flat} == set(range(16))
    assert all(np.abs(np.subtract(a.coords, b.coords)).sum() == 1 for a, b in pairs)


def train(devices, model=TRANSFORMER, steps=3):
    optimiser, _ = optim.make(name="sgd", learning_rate=0.1, total_steps=30, clip_norm=1.0)
    settings = dict(model=model, task=TRANSLATE, optimiser=optimiser, seed=0)
    initial = partial(step.initialise, batch=TOKENS, ema=False, **settings)
    function = partial(step.train_step, accumulate=1, ema_decay=0.0, **settings)
    train_step = devices.compile_train(function, jax.eval_shape(initial))
    now = devices.initialise(initial)
    losses = []
    for number in range(steps):
        chance = np.random.default_rng(number)
        now, sums = train_step(now, devices.put({n: chance.integers(4, 24, (16, 6), np.int32) for n in TOKENS}))
        losses.append(devices.fetch(sums)["loss"][0])
    return now, losses


def test_a_split_transformer_learns_the_same_with_the_same_dropout():
    _, whole = train(Mesh(ALL[:1], 1))
    now, split = train(Mesh(ALL, 2, fsdp=2, tensor=2))
    np.testing.assert_allclose(whole, split, rtol=1e-5)
    kernel = now.params["encoder"]["block_00"]["mlp"]["expand"]["kernel"]
    assert kernel.sharding.spec == P("fsdp", "tensor")
    assert kernel.addressable_shards[0].data.shape == (8, 16)


def test_the_state_of_a_device_shrinks_as_the_mesh_says():
    larger = models.build("transformer", outputs=512, source_vocabulary=None, width=64, depth=2, mlp_dim=256, heads=8)

    def bytes_per_device(devices) -> int:
        laid_out = devices.lay_out(state(larger))
        return sum(
            np.prod(x.sharding.shard_shape(x.shape), dtype=int) * x.dtype.itemsize for x in jax.tree.leaves(laid_out)
        )

    one = bytes_per_device(Mesh(ALL[:1], 1))
    assert bytes_per_device(Mesh(ALL, 8)) == one
    assert one / 8 < bytes_per_device(Mesh(ALL, 1, fsdp=8)) < one / 7
    assert one / 4 < bytes_per_device(Mesh(ALL, 2, fsdp=2, tensor=2)) < one / 3.7


def test_activations_are_split_between_blocks():
    devices = Mesh(ALL, 4, fsdp=2)
    variables, batch = state(TRANSFORMER).eval_variables, devices.lay_out_batch(TOKENS)
    forward = devices.compile(partial(step.eval_step, model=TRANSFORMER, task=TRANSLATE))
    program = str(forward.trace(variables, batch).jaxpr)
    assert program.count("sharding_constraint[") == 4  # two blocks of the encoder, two of the decoder
    assert "sharding_constraint[" not in str(
        Mesh(ALL[:1], 1)
        .compile(partial(step.eval_step, model=TRANSFORMER, task=TRANSLATE))
        .trace(variables, TOKENS)
        .jaxpr
    )


class Marked(nn.Module):
    """A model that says itself where its activations are split."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(3):
            x = nn.with_logical_constraint(nn.Dense(16)(x), ("batch",))
        return x


@dataclass(frozen=True)
class Square:
    """A loss without labels."""

    def sums(self, apply, batch, train):
        return {"loss": (jnp.sum(apply(batch["x"]) ** 2), jnp.ones(()))}


@pytest.mark.parametrize(
    ("devices", "rows", "count"),
    [
        (Mesh(ALL, 4, fsdp=2), 16, 3),
        (Mesh(ALL, 2, fsdp=2, tensor=2), 8, 3),
        (Mesh(ALL, 4, fsdp=2), 12, 0),  # 8 does not divide it
        (Mesh(ALL[:1], 1), 16, 0),
        (Pmap(ALL), 16, 0),
    ],
)
def test_models_mark_their_activations_and_meshes_alone_split_them(devices, rows, count):
    x = jnp.ones((rows, 5, 16))
    variables = Marked().init(jax.random.key(0), x)
    settings = dict(model=Marked(), task=Square())
    forward = devices.compile(partial(eval_without_flag, **settings))
    if devices.mode == "pmap":
        variables, x = devices.put_state(variables), x.reshape(8, -1, 5, 16)
    program = str(jax.make_jaxpr(forward)(variables, {"x": x}))
    assert program.count("sharding_constraint[") == count
    total = devices.fetch(forward(variables, {"x": x}))["loss"][0]
    alone = jnp.sum(Marked().apply(jax.device_get(variables) if devices.mode != "pmap" else first(variables), x) ** 2)
    assert total == pytest.approx(float(alone), rel=1e-5)


def first(tree):
    return jax.tree.map(lambda x: x[0], jax.device_get(tree))


def eval_without_flag(variables, batch, axis, *, model, task):
    return axis.sum(task.sums(step.Apply(model, variables, axis.gather), batch, train=False))


def test_feature_maps_are_split_between_a_resnets_units():
    image = {"image": ((8, 8, 8, 1), jnp.float32), "label": ((8,), jnp.int32), "mask": ((8,), jnp.float32)}
    batch = {name: jax.ShapeDtypeStruct(*x) for name, x in image.items()}
    devices = Mesh(ALL, 4, fsdp=2)
    forward = devices.compile(partial(step.eval_step, model=RESNET, task=tasks.build("classify")))
    program = str(forward.trace(state_of_images(RESNET).eval_variables, devices.lay_out_batch(batch)).jaxpr)
    assert program.count("sharding_constraint[") == 2


def test_an_initialisation_compiled_with_less_effort_has_the_same_bits():
    draws = nn.initializers
    kinds = (draws.normal(0.02), draws.truncated_normal(0.02), draws.xavier_uniform(), draws.lecun_normal())

    def initial() -> list[jax.Array]:
        return [draw(jax.random.key(i), (33, 65)) for i, draw in enumerate((*kinds, draws.orthogonal()))]

    assert parallel.briefly(ALL) is None  # the tests optimise nothing
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        assert parallel.briefly(ALL) == parallel.RUNS_ONCE
        whole, briefly = jax.jit(initial)(), Mesh(ALL[:1], 1).initialise(initial)
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    for one, other in zip(whole, briefly, strict=True):
        np.testing.assert_array_equal(one, other)
