"""Activations are split like the batch after every block, where there are rules for it, and nowhere else."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import models

DEVICES = np.array(jax.devices()).reshape(4, 2, 1)
RULES = (("batch", ("data", "fsdp")),)
SIZE = dict(width=8, depth=2, mlp_dim=8)
IMAGE, TOKENS = np.zeros((8, 8, 8, 3), np.float32), np.zeros((8, 4), np.int32)
TRANSFORMER = dict(**SIZE, heads=2, source_vocabulary=None)
DETR = dict(
    trunk=dict(width=8, depths=(2,), root="small"),
    strides=(2,),
    **dict(width=8, encoder_depth=1, decoder_depth=2, heads=2, mlp_dim=8, queries=4),
)
MODELS = {  # inputs, and how many blocks there are
    "vit": ("vit", dict(**SIZE, heads=2, patch=4), (IMAGE,), 2),
    "scanned": ("vit", dict(**SIZE, heads=2, patch=4, scan=True), (IMAGE,), 1),  # within the loop, once in the program
    "remat": ("vit", dict(**SIZE, heads=2, patch=4, remat="full"), (IMAGE,), 2),
    "mixer": ("mixer", dict(**SIZE, token_mlp_dim=8, patch=4), (IMAGE,), 2),
    "resnet": ("resnet", dict(width=8, depths=(1, 2), root="cifar"), (IMAGE,), 3),
    "transformer": ("transformer", TRANSFORMER, (TOKENS, TOKENS), 4),
    "gpt": ("gpt", dict(**SIZE, heads=2), (TOKENS,), 2),
    "dit": ("dit", dict(width=8, depth=2, heads=2, patch=4), (IMAGE, np.zeros(8), np.zeros(8, np.int32)), 2),
    "detr": ("detr", DETR, (IMAGE, np.ones((8, 2), np.float32)), 5),  # two units of the trunk, and three layers
}


def constraints(model, inputs, rules=RULES) -> int:
    """How many there are in the program."""
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, train=False))
    with jax.set_mesh(Mesh(DEVICES, ("data", "fsdp", "tensor"))), nn.logical_axis_rules(rules):
        forward = jax.jit(lambda variables, *inputs: model.apply(variables, *inputs, train=False))
        return str(forward.trace(variables, *inputs).jaxpr).count("sharding_constraint[")


@pytest.mark.parametrize("name", MODELS)
def test_the_output_of_every_block_is_split_like_the_batch(name):
    module, arguments, inputs, blocks = MODELS[name]
    model = models.build(module, 9, **arguments)
    assert constraints(model, inputs) == blocks
    assert constraints(model, inputs, rules=()) == 0
    assert constraints(model, [x[:4] for x in inputs]) == 0  # which does not divide by eight devices


def test_a_program_without_a_mesh_has_no_constraint():
    model = models.build("gpt", 9, **MODELS["gpt"][1])
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), TOKENS, train=False))
    with nn.logical_axis_rules(RULES):
        assert "constraint" not in str(jax.make_jaxpr(lambda v: model.apply(v, TOKENS, train=False))(variables))


def test_rows_are_where_the_rule_says():
    model = models.build("gpt", 9, **MODELS["gpt"][1])
    mesh = Mesh(DEVICES, ("data", "fsdp", "tensor"))
    variables = jax.jit(lambda: model.init(jax.random.key(0, impl="rbg"), TOKENS, train=False))()
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        run = jax.jit(lambda variables, x: model.apply(variables, x, train=False, mutable="probe")[1]["probe"])
        split = run({"params": variables["params"]}, TOKENS)["decoder"]["block_01"]["output"][0]
    assert split.sharding.shard_shape(split.shape) == (1, 4, 8)
