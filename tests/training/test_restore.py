"""A state saved under any devices comes back bit for bit under others."""

from functools import partial

import jax
import numpy as np
import pytest

import models
import tasks
from training import checkpoint, optim, step
from training.parallel import Mesh, Pmap

ALL = tuple(jax.devices())
MODES = {
    "one device": Mesh(ALL[:1], 1),
    "pmap of 8": Pmap(ALL),
    "pmap of 4": Pmap(ALL[:4]),
    "data 8": Mesh(ALL, 8),
    "fsdp 8": Mesh(ALL, 1, fsdp=8),
    "tensor 2 of 4": Mesh(ALL[:4], 2, tensor=2),
    "data 2 fsdp 2 tensor 2": Mesh(ALL, 2, fsdp=2, tensor=2),
}


def shapes(dtype: str = "float32") -> step.State:
    model = models.build(
        "transformer", outputs=24, source_vocabulary=None, width=16, depth=1, mlp_dim=32, heads=2, dtype=dtype
    )
    optimiser, _ = optim.make(name="adamw", learning_rate=0.1, total_steps=30)
    batch = {name: jax.ShapeDtypeStruct((8, 6), np.int32) for name in ("source", "target")}
    return jax.eval_shape(
        partial(
            step.initialise,
            model=model,
            task=tasks.build("translate"),
            optimiser=optimiser,
            batch=batch,
            seed=0,
            ema=True,
        )
    )


def state() -> step.State:
    """Random figures of these shapes."""
    chance = np.random.default_rng(0)
    return jax.tree.map(lambda x: (100 * chance.standard_normal(x.shape)).astype(x.dtype), shapes())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for number, devices in enumerate(MODES.values()):
        with checkpoint.Checkpoints(folder / str(number)) as checkpoints:
            checkpoints.save(1, devices.get_state(devices.put_state(state())), {})
    return folder


# Not all 49 pairs, which take a minute: each is saved and restored twice, from one far off and from its neighbour.
@pytest.mark.parametrize(("was", "now"), [(i, (i + by) % len(MODES)) for by in (1, 4) for i in range(len(MODES))])
def test_what_was_saved_comes_back_on_other_devices(saved, was, now):
    devices, saved = list(MODES.values())[now], saved / str(was)
    restored = devices.put_state(checkpoint.Checkpoints(saved).restore(1, devices.lay_out(shapes())))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(devices.get_state(restored)), state())
    if devices.mode == "mesh":
        placed = jax.tree.map(lambda x, y: x.sharding == y.sharding, restored, devices.lay_out(shapes()))
        assert all(jax.tree.leaves(placed))


def test_the_precision_of_compute_is_no_part_of_a_state():
    same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype  # noqa: E731
    assert all(jax.tree.leaves(jax.tree.map(same, shapes("bfloat16"), shapes())))
