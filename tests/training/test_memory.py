"""The memory of a step: at least its arguments, counted by hand, and nothing compiled a second time."""

from functools import cache, partial

import jax
import numpy as np
import pytest

from models.vit import Model
from tasks.classify import Task
from training import flops, optim, step
from training.parallel import Mesh, Pmap

ALL = tuple(jax.devices())
BATCH = {
    "image": np.zeros((16, 8, 8, 1), np.float32),
    "label": np.zeros(16, np.int32),
    "mask": np.ones(16, np.float32),
}


@cache
def begun(**sizes) -> tuple[dict, step.State]:
    """What a step is made of, and the state before the first one. sizes: of the model."""
    optimiser, _ = optim.make(name="adamw", total_steps=10)
    parts = dict(
        model=Model(10, **dict(width=16, depth=1, mlp_dim=32, heads=2, patch=4, head="gap") | sizes),
        task=Task(),
        optimiser=optimiser,
        seed=0,
    )
    shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in BATCH.items()}
    return parts, jax.device_get(jax.jit(partial(step.initialise, batch=shapes, ema=False, **parts))())


def build(devices, **sizes):
    """The compiled step, the state and the batch on the devices."""
    parts, state = begun(**sizes)
    train_step = devices.compile_train(partial(step.train_step, accumulate=1, ema_decay=0.0, **parts), state)
    return train_step, devices.put_state(state), devices.put(BATCH)


def size(tree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("devices", [Mesh(ALL, 8), Pmap(ALL)])
def test_it_holds_the_state_once_and_the_batch_and_what_is_computed(devices):
    train_step, state, batch = build(devices)
    one = size(devices.get_state(state))
    found = flops.step_memory(train_step, state, batch)
    assert one + size(BATCH) / 8 < found
    assert found < 50 * (one + size(BATCH))


@pytest.mark.parametrize("devices", [Mesh(ALL[:1], 1), Mesh(ALL, 1, fsdp=8), Pmap(ALL)])
def test_the_state_is_changed_in_place(devices):
    train_step, state, batch = build(devices)
    memory = train_step.lower(state, batch).compile().memory_analysis()
    held = size(jax.tree.map(lambda x: x.addressable_shards[0].data, state))
    assert memory.alias_size_in_bytes == held


def test_after_a_step_on_a_mesh_it_compiles_nothing():
    train_step, state, batch = build(Mesh(ALL, 8))
    state, _ = train_step(state, batch)
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: compiled.append(event))
    try:
        assert flops.step_memory(train_step, state, batch) > 0
    finally:
        jax.monitoring.clear_event_listeners()
    assert not [event for event in compiled if "backend_compile" in event]


def test_computing_activations_again_saves_memory_on_a_cpu_without_a_scan():
    def temporaries(remat):
        train_step, state, batch = build(Mesh(ALL[:1], 1), patch=1, depth=3, mlp_dim=64, remat=remat)
        return train_step.lower(state, batch).compile().memory_analysis().temp_size_in_bytes

    assert temporaries("full") < 0.6 * temporaries("none")
