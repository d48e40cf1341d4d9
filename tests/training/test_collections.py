"""Models with batch statistics, and losses across the whole batch: the same on any devices."""

from dataclasses import dataclass, replace
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import checkpoint, optim, step
from training.parallel import Mesh, Pmap

B = 32
ONE, ALL = tuple(jax.devices()[:1]), tuple(jax.devices())
EVERYWHERE = [Mesh(ONE, 1), Mesh(ALL, 8), Mesh(ALL, 4, fsdp=2), Pmap(ALL)]


class Normalised(nn.Module):
    """BatchNorm between two products, a probe that is no state, and a counter of calls that is."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = nn.Dense(8)(x)
        self.sow("probe", "hidden", x)
        calls = self.variable("counters", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            calls.value += 1
        return nn.Dense(4)(nn.BatchNorm(use_running_average=not train, momentum=0.5)(x))


@dataclass(frozen=True)
class Regression:
    """Squared error."""

    def sums(self, apply, batch, train):
        error = jnp.sum((apply(batch["x"]) - batch["y"]) ** 2)
        return {"loss": (error, jnp.asarray(float(len(batch["x"]))))}


class TwoTowers(nn.Module):
    """Two embeddings, each a method of its own."""

    def setup(self) -> None:
        self.left, self.right = nn.Dense(4, use_bias=False), nn.Dense(4, use_bias=False)

    def embed_left(self, x: jax.Array, *, train: bool) -> jax.Array:
        return self.left(x)

    def embed_right(self, y: jax.Array, *, train: bool) -> jax.Array:
        return self.right(y)


@dataclass(frozen=True)
class Contrast:
    """Each row of x against all rows of y (2103.00020, figure 3, one direction)."""

    def sums(self, apply, batch, train):
        left, right = apply(batch["x"], method="embed_left"), apply(batch["y"], method="embed_right")
        logits = left @ apply.gather(right).T
        number = apply.gather(batch["number"])
        target = batch["number"][:, None] == number[None]
        loss = -jnp.sum(jax.nn.log_softmax(logits) * target)
        return {"loss": (loss, jnp.asarray(float(len(left))))}


def batch(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((B, 6)), rng.standard_normal((B, 4))
    return {"x": x.astype(np.float32), "y": y.astype(np.float32), "number": np.arange(B, dtype=np.int32)}


class Parts(dict):
    """What a step is made of. Its programs are kept by it, so it equals nothing but itself."""

    __hash__, __eq__ = object.__hash__, object.__eq__


def settings(model, task, name="sgd", **changes) -> Parts:
    optimiser, _ = optim.make(name=name, learning_rate=0.1, total_steps=20, schedule="constant", **changes)
    return Parts(model=model, task=task, optimiser=optimiser, seed=0)


@cache
def initialise(parts: Parts) -> step.State:
    """The state before the first step, on the host."""
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch(0).items()}
    return jax.device_get(jax.jit(partial(step.initialise, batch=like, ema=False, **parts))())


@cache
def compiled(devices, parts: Parts, accumulate: int):
    function = partial(step.train_step, accumulate=accumulate, ema_decay=0.0, **parts)
    return devices.compile_train(function, initialise(parts))


def run(devices, parts, steps=3, state=None, start=0, accumulate=1, batches=batch):
    train_step = compiled(devices, parts, accumulate)
    state = devices.put_state(jax.device_get(state or initialise(parts)))
    for number in range(start, start + steps):
        state, sums = train_step(state, devices.put(batches(number)))
    return jax.device_get(devices.get_state(state)), devices.fetch(sums)


NORMALISED = settings(Normalised(), Regression())
CONTRAST = settings(TwoTowers(), Contrast())


@pytest.fixture(scope="module")
def reference():
    return run(Mesh(ONE, 1), NORMALISED)


def test_the_statistics_are_those_of_the_batches_and_the_probe_is_no_state(reference):
    state = initialise(NORMALISED)
    assert sorted(state.collections) == ["batch_stats", "counters"]
    mean = jnp.zeros(8)
    after, _ = run(Mesh(ONE, 1), NORMALISED, steps=1)
    hidden = batch(0)["x"] @ state.params["Dense_0"]["kernel"] + state.params["Dense_0"]["bias"]
    np.testing.assert_allclose(
        after.collections["batch_stats"]["BatchNorm_0"]["mean"], 0.5 * mean + 0.5 * hidden.mean(0), atol=1e-6
    )
    assert reference[0].collections["counters"]["calls"] == 3


def test_a_mesh_sees_the_batch_as_one_device_does(reference):
    state, _ = run(Mesh(ALL, 8), NORMALISED)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), state, reference[0])


def test_pmap_averages_the_statistics_of_its_devices(reference):
    after, _ = run(Pmap(ALL), NORMALISED, steps=1)
    one, _ = run(Mesh(ONE, 1), NORMALISED, steps=1)
    ours, theirs = (s.collections["batch_stats"]["BatchNorm_0"] for s in (after, one))
    np.testing.assert_allclose(ours["mean"], theirs["mean"], atol=1e-6)  # equal shares: the mean of means is the mean
    kernel, bias = (initialise(NORMALISED).params["Dense_0"][name] for name in ("kernel", "bias"))
    shares = (batch(0)["x"] @ kernel + bias).reshape(8, -1, 8)
    np.testing.assert_allclose(ours["var"], 0.5 + 0.5 * shares.var(1).mean(0), rtol=1e-4)
    assert after.collections["counters"]["calls"] == 1


@pytest.mark.parametrize("devices", [Mesh(ONE, 1), Mesh(ALL, 8), Pmap(ALL)])
def test_micro_batches_follow_one_another(devices):
    state, _ = run(devices, NORMALISED, steps=1, accumulate=2)
    assert state.collections["counters"]["calls"] == 2


@pytest.mark.parametrize("devices", [Mesh(ONE, 1), Pmap(ALL)])
def test_a_bad_step_changes_no_statistics(devices):
    def poisoned(number: int) -> dict[str, np.ndarray]:
        return batch(number) | {"x": np.full((B, 6), np.nan, np.float32)}

    before = initialise(NORMALISED)
    after, sums = run(devices, NORMALISED, steps=1, batches=poisoned)
    assert sums["nonfinite"] == (1, 1)
    jax.tree.map(np.testing.assert_array_equal, after.collections, before.collections)


@pytest.mark.parametrize("devices", [Mesh(ALL, 8), Pmap(ALL)])
def test_a_run_with_statistics_goes_on_from_its_checkpoint(devices, tmp_path):
    whole, _ = run(devices, NORMALISED, steps=4)
    half, _ = run(devices, NORMALISED, steps=2)
    with checkpoint.Checkpoints(folder=tmp_path) as checkpoints:
        checkpoints.save(2, devices.get_state(devices.put_state(half)), {})
    wanted = devices.lay_out(initialise(NORMALISED))
    restored = checkpoint.Checkpoints(folder=tmp_path).restore(2, vars(wanted))
    again, _ = run(devices, NORMALISED, steps=2, state=jax.device_get(step.State(**restored)), start=2)
    jax.tree.map(np.testing.assert_array_equal, again, whole)


@pytest.mark.parametrize("devices", [Mesh(ONE, 1), Mesh(ALL, 8), Pmap(ALL)])
def test_evaluation_uses_the_statistics_and_the_average_of_the_weights(devices, reference):
    state = replace(reference[0], ema=jax.tree.map(lambda x: 2 * x, reference[0].params))
    assert state.variables == {"params": state.params, **state.collections}
    eval_step = devices.compile(partial(step.eval_step, model=Normalised(), task=Regression()))
    sums = devices.fetch(eval_step(devices.put_state(state).eval_variables, devices.put(batch(0))))
    rows = Normalised().apply(state.eval_variables, batch(0)["x"], train=False)
    assert sums["loss"][0] == pytest.approx(float(jnp.sum((rows - batch(0)["y"]) ** 2)), rel=1e-5)


def test_a_model_without_statistics_carries_none():
    state = initialise(CONTRAST)
    assert state.collections == {}
    assert sorted(state.params) == ["left", "right"]  # of both methods that the task calls


@pytest.mark.parametrize("devices", EVERYWHERE)
def test_a_loss_across_the_batch_is_the_same_on_any_devices(devices):
    state, sums = run(devices, CONTRAST, steps=1)

    def loss(params):
        left, right = (batch(0)[name] @ params[side]["kernel"] for name, side in (("x", "left"), ("y", "right")))
        return -jnp.mean(jnp.diag(jax.nn.log_softmax(left @ right.T)))

    params = initialise(CONTRAST).params
    value, grads = jax.value_and_grad(loss)(params)
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(grads)))
    assert sums["loss"][0] / B == pytest.approx(float(value), rel=1e-5)
    assert sums["grad_norm"][0] == pytest.approx(float(norm), rel=1e-5)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g / jnp.maximum(norm, 1), params, grads)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), state.params, expected)


@pytest.mark.parametrize("name", ["sam", "schedule_free_adamw", "muon", "momo"])
def test_optimisers_with_wishes_of_their_own_are_the_same_on_any_devices(name):
    """A second gradient, weights to evaluate, matrices, the loss."""
    parts = settings(TwoTowers(), Contrast(), name=name)
    one, _ = run(Mesh(ONE, 1), parts, accumulate=2)
    for devices in (Mesh(ALL, 8), Pmap(ALL)):
        state, _ = run(devices, parts, accumulate=2)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4), state.params, one.params)
        ours = jax.device_get(devices.get_state(devices.put_state(state).eval_params))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), ours, state.eval_params)
    averaged = not np.allclose(ours["left"]["kernel"], state.params["left"]["kernel"])
    assert averaged == (name == "schedule_free_adamw")
