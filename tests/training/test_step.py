"""The step itself: the same on any devices, exact about padding, unmoved by what is not finite."""

from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.vit import Model
from tasks.classify import Task
from training import optim, step
from training.parallel import WHOLE, Mesh, Pmap

B, C = 32, 10
MODEL = Model(C, width=16, depth=2, mlp_dim=32, heads=2, patch=4, head="gap")
TASK = Task(label_smoothing=0.1, top5=True)
# Not Adam: it makes of a gradient that is zero but for rounding, as that of a key's bias, a step of full size.
OPTIMISER, _ = optim.make(name="sgd", learning_rate=0.1, total_steps=30, clip_norm=1.0, weight_decay=0.1)
ONE, ALL = tuple(jax.devices()[:1]), tuple(jax.devices())


def batch(seed: int) -> dict[str, np.ndarray]:
    """Random images; those of the first devices are padding: 8 devices have 0, 1, ... 4 real examples of 4."""
    rng = np.random.default_rng(seed)
    mask = (np.arange(B) % 4 < np.arange(B) // 4).astype(np.float32)
    image = rng.standard_normal((B, 8, 8, 1)).astype(np.float32) + 100 * (1 - mask[:, None, None, None])
    return {"image": image, "label": rng.integers(C, size=B, dtype=np.int32), "mask": mask}


def initialise(model: nn.Module = MODEL, ema: bool = True) -> step.State:
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch(0).items()}
    initial = partial(step.initialise, model=model, task=TASK, optimiser=OPTIMISER, batch=like, seed=0, ema=ema)
    return jax.jit(initial)()


def compiled(devices, state, model=MODEL, accumulate=1, ema_decay=0.9, spike=0.0):
    function = partial(
        step.train_step,
        model=model,
        task=TASK,
        optimiser=OPTIMISER,
        seed=0,
        accumulate=accumulate,
        ema_decay=ema_decay,
        spike=spike,
    )
    return devices.compile_train(function, state)


def run(devices, accumulate=1, steps=3, model=MODEL, state=None, ema_decay=0.9, batches=batch):
    """The state after some steps, and the sums of each."""
    state = jax.device_get(state or initialise(model))
    train_step = compiled(devices, state, model, accumulate, ema_decay)
    state = devices.put_state(state)
    sums = []
    for number in range(steps):
        state, out = train_step(state, devices.put(batches(number)))
        sums.append(devices.fetch(out))
    return jax.device_get(devices.get_state(state)), sums


@pytest.fixture(scope="module")
def reference():
    return run(Mesh(ONE, 1), steps=20)


@pytest.mark.parametrize(
    ("devices", "accumulate"),
    [
        (Mesh(ALL, 8), 1),
        (Pmap(ALL), 1),
        (Mesh(ONE, 1), 4),
        (Mesh(ALL, 8), 2),
        (Pmap(ALL), 2),
        (Mesh(ALL, 1, fsdp=8), 1),
        (Mesh(ALL, 4, tensor=2), 1),
        (Mesh(ALL, 2, fsdp=2, tensor=2), 2),
    ],
)
def test_devices_and_micro_batches_change_nothing(reference, devices, accumulate):
    state, sums = run(devices, accumulate, steps=20)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state, reference[0])
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), sums, reference[1])


def test_padding_weighs_nothing(reference):
    def other(number: int) -> dict[str, np.ndarray]:
        changed = batch(number)
        padding = changed["mask"] == 0
        changed["image"][padding] = 7.0
        changed["label"][padding] = 3
        return changed

    state, _ = run(Mesh(ONE, 1), batches=other, steps=20)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), state, reference[0])


def test_the_gradient_is_that_of_the_mean_over_real_examples(reference):
    data, params = batch(0), initialise().params
    real = data["mask"] > 0

    def mean_loss(p):
        logits = MODEL.apply({"params": p}, data["image"][real], train=True)
        target = 0.9 * jax.nn.one_hot(data["label"][real], C) + 0.1 / C
        return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(logits), -1))

    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(mean_loss)(params))))
    assert reference[1][0]["grad_norm"][0] == pytest.approx(float(norm), rel=1e-5)
    assert reference[1][0]["loss"][0] / reference[1][0]["loss"][1] == pytest.approx(float(mean_loss(params)), rel=1e-5)


def test_the_average_of_a_short_run_is_of_its_last_steps():
    decays = [float(step.averaging_decay(0.9999, number)) for number in range(1, 61)]
    weights = np.array([(1 - decay) * np.prod(decays[i + 1 :]) for i, decay in enumerate(decays)])
    assert weights.sum() == pytest.approx(1, abs=1e-6)  # next to nothing of what the run began with
    assert np.arange(1, 61) @ weights == pytest.approx(0.9 * 60, abs=1)
    assert float(step.averaging_decay(0.9, 200)) == pytest.approx(0.9)


def test_the_average_follows_the_weights(reference):
    state, previous = reference[0], run(Mesh(ONE, 1), steps=19)[0]
    expected = jax.tree.map(lambda a, p: 0.9 * a + 0.1 * p, previous.ema, state.params)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), state.ema, expected)
    assert state.eval_params is state.ema
    assert initialise(ema=False).ema == {}


@pytest.mark.parametrize("devices", [Mesh(ONE, 1), Pmap(ALL)])
def test_a_batch_that_is_not_finite_leaves_the_weights_alone(devices):
    def poisoned(number: int) -> dict[str, np.ndarray]:
        data = batch(number)
        if number == 1:
            data["image"][-1] = np.inf
        return data

    before, _ = run(devices, steps=1, batches=poisoned)
    after, sums = run(devices, steps=2, batches=poisoned)
    assert [float(s["nonfinite"][0] / s["nonfinite"][1]) for s in sums] == [0, 1]
    assert sums[1]["loss"] == (0, 0)
    assert after.step == 2
    jax.tree.map(np.testing.assert_array_equal, (before.params, before.opt_state), (after.params, after.opt_state))


def test_a_branch_and_a_choice_keep_the_same():
    optimiser, _ = optim.make(name="sam", learning_rate=0.1, total_steps=9, clip_norm=0.1, weight_decay=0.1)
    parts = dict(model=MODEL.clone(depth=1), task=TASK, optimiser=optimiser, seed=0)
    like = {key: jax.ShapeDtypeStruct(x.shape, x.dtype) for key, x in batch(0).items()}
    state = step.initialise(batch=like, ema=True, **parts)
    function = partial(step.train_step, accumulate=1, ema_decay=0.9, spike=1.5, **parts)
    either = [jax.jit(partial(function, axis=WHOLE._replace(branches=branches))) for branches in (True, False)]
    worse = batch(0) | {"image": np.full_like(batch(0)["image"], np.nan)}
    for data, usual, moves in ((batch(0), 2.3, True), (worse, 2.3, False), (batch(0), 1.0, False)):
        before = replace(state, usual={"loss": jnp.asarray(usual), "weight": jnp.ones(())})
        (after, sums), chosen = (train_step(before, data) for train_step in either)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), (after, sums), chosen)
        for found in (after, chosen[0]):
            kept = jax.tree.map(np.array_equal, replace(found, step=before.step), before)
            assert all(jax.tree.leaves(kept)) != moves


@pytest.mark.parametrize("devices", [Mesh(ONE, 1), Pmap(ALL)])
def test_a_loss_far_above_the_usual_one_leaves_the_weights_alone(devices):
    """The first loss is that of a head of zeros, ln 10."""
    begun = jax.device_get(initialise())
    train_step = compiled(devices, begun, spike=2.0)
    for loss, weight, expected in ((1.1, 1.0, 1), (0.55, 0.5, 1), (1.2, 1.0, 0), (0.01, 0.1, 0)):  # 0.1: too early
        before = replace(begun, usual={"loss": np.float32(loss), "weight": np.float32(weight)})
        after, sums = train_step(devices.put_state(before), devices.put(batch(0)))
        after, sums = jax.device_get(devices.get_state(after)), devices.fetch(sums)
        assert sums["spike"] == (expected, 1)
        assert sums["nonfinite"] == (0, 1)
        assert sums["loss"][0] / sums["loss"][1] == pytest.approx(np.log(10), rel=1e-5)
        assert after.step == 1
        moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), after.params, before.params)
        assert any(jax.tree.leaves(moved)) == (not expected)
        if expected:
            jax.tree.map(np.testing.assert_array_equal, after, replace(before, step=after.step))


def test_the_usual_loss_is_that_of_recent_good_steps(reference):
    expected = {"loss": 0.0, "weight": 0.0}
    for sums in reference[1]:
        expected["loss"] = 0.99 * expected["loss"] + 0.01 * sums["loss"][0] / sums["loss"][1]
        expected["weight"] = 0.99 * expected["weight"] + 0.01
    assert reference[0].usual == pytest.approx(expected, rel=1e-4)
    assert reference[0].usual["weight"] > step.SETTLED > 1 - 0.99 ** (len(reference[1]) - 1)


def test_a_batch_of_padding_alone_moves_nothing_by_its_loss():
    def empty(number: int) -> dict[str, np.ndarray]:
        return batch(number) | {"mask": np.zeros(B, np.float32)}

    state, sums = run(Mesh(ONE, 1), steps=1, batches=empty)
    assert state.usual == {"loss": 0, "weight": 0}
    assert sums[0]["grad_norm"][0] == 0
    assert sums[0]["nonfinite"][0] == 0


def test_dropout_differs_between_steps_and_devices_and_repeats_with_the_step():
    model = Model(C, width=16, depth=1, mlp_dim=32, heads=2, patch=4, head="gap", dropout=0.5, representation=True)
    state = initialise(model)
    # The head starts at zero, where no dropout shows: move it.
    params = state.params | {
        "head": jax.tree.map(lambda x: x + jnp.arange(x.size).reshape(x.shape) / 50, state.params["head"])
    }
    state = state.replace(params=params)
    same = lambda number: {**batch(0), "mask": np.ones(B, np.float32)}  # noqa: E731
    frozen = partial(run, model=model, state=state, batches=same, steps=1)
    once, again = frozen(Mesh(ONE, 1))[1][0], frozen(Mesh(ONE, 1))[1][0]
    later = frozen(Mesh(ONE, 1), state=state.replace(step=jnp.asarray(1, jnp.int32)))[1][0]
    assert once["loss"][0] == again["loss"][0]
    assert once["loss"][0] != later["loss"][0]

    # Every device is given the same four images: only its key can make its loss its own.
    def repeated(number: int) -> dict[str, np.ndarray]:
        return jax.tree.map(lambda x: np.tile(x[:4], (8, *[1] * (x.ndim - 1))), same(0))

    eight = run(Pmap(ALL), model=model, state=state, batches=repeated, steps=1)[1][0]["loss"][0]
    one = run(Pmap(ONE), model=model, state=state, batches=lambda n: jax.tree.map(lambda x: x[:4], same(0)), steps=1)
    assert eight != pytest.approx(8 * one[1][0]["loss"][0], rel=1e-6)


def test_golden_losses():
    """Twenty steps on fixed data: whoever changes what is computed changes these figures, knowingly."""
    _, sums = run(Mesh(ONE, 1), steps=20, batches=lambda number: batch(number % 4))
    losses = [s["loss"][0] / s["loss"][1] for s in sums]
    np.testing.assert_allclose([losses[0], losses[4], losses[9], losses[19]], GOLDEN, rtol=1e-3)


GOLDEN = [2.302585, 2.231341, 2.179946, 1.960462]
