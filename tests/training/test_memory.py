"""The memory of a step: what its arguments must take, counted by hand, and nothing compiled a second time."""

import jax
import numpy as np
import pytest

import experiment
from tests.conftest import tiny
from training import memory


def build(mode, workdir):
    changes = {"parallel.mode": mode, "data.source": "synthetic", "data.name": "10"}
    return experiment.build(tiny(**changes), workdir)


@pytest.mark.parametrize("mode", ["mesh", "pmap"])
def test_it_holds_the_state_once_and_the_batch_and_what_is_computed(mode, workdir):
    run = build(mode, workdir)
    state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(run.abstract_state))
    batch = sum(np.prod(shape) * np.dtype(kind).itemsize for shape, kind in run.pipeline.shapes[0][1].values())
    found = memory.peak(run.train_step, run.initialise(), run.devices.put(next(iter(run.batches(0)))))
    assert state + batch / 8 < found
    assert found < 50 * (state + batch)


def test_after_a_step_on_a_mesh_it_compiles_nothing(workdir):
    run = build("mesh", workdir)
    state, batch = run.initialise(), run.devices.put(next(iter(run.batches(0))))
    state, _ = run.train_step(state, batch)
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: compiled.append(event))
    try:
        assert memory.peak(run.train_step, state, batch) > 0
    finally:
        jax.monitoring.clear_event_listeners()
    assert not [event for event in compiled if "backend_compile" in event]
