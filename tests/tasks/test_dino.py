"""DINO's loss and guards against naive sums, its teacher, centre and schedules."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from models import dino
from tasks.dino import Task, shared_out
from training import optim, step
from training.parallel import Mesh, Pmap

SIZE = dict(width=8, depth=1, mlp_dim=16, heads=2, patch=2, position_grid=(4, 4))
HEAD = dict(prototypes=6, projection_width=8, bottleneck=4)
MODEL = dino.Model(outputs=1, **SIZE, **HEAD)
B, L = 8, 3
MASK = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
ONE, ALL = tuple(jax.devices()[:1]), tuple(jax.devices())


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"image": (B, 8, 8, 1), "second": (B, 8, 8, 1), "local": (B, L, 4, 4, 1)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} | {"mask": MASK}


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Told:
    """A model whose outputs of each view are given, as a task calls it."""

    def __init__(self, student, teacher, centre, features, at=0):
        self.student, self.teacher, self.centre, self.features, self.step = student, teacher, centre, features, at

    def gather(self, x):
        return x

    def averaged(self, views, share, train):
        assert not train
        np.testing.assert_allclose(share, np.tile(MASK, 2) / 12)
        return self.teacher, self.centre, self.features

    def __call__(self, views, share, frozen):
        rows = slice(0, 2 * B) if len(views) == 2 * B else slice(2 * B, None)
        return self.student[rows], self.centre, self.features


def given(seed=1, at=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return Told(draw((2 + L) * B, 6), draw(2 * B, 6), draw(6), draw(2 * B, 8), at)


def test_the_loss_is_that_of_all_pairs_of_different_views():
    told = given()
    task = Task(temperature=0.5, teacher_temperature=0.25)
    sums = task.sums(told, batch(), train=True)
    student = np.asarray(told.student)
    local = student[2 * B :].reshape(B, L, 6)
    views = [student[:B], student[B : 2 * B], *local.swapaxes(0, 1)]
    teachers = [softmax((np.asarray(told.teacher)[v * B :][:B] - np.asarray(told.centre)) / 0.25) for v in (0, 1)]
    pairs = [
        -(p * np.log(softmax(views[s] / 0.5))).sum(-1) for t, p in enumerate(teachers) for s in range(2 + L) if s != t
    ]
    loss = (np.mean(pairs, 0) * MASK).sum()
    entropy = (np.mean([-(p * np.log(p)).sum(-1) for p in teachers], 0) * MASK).sum()
    assert float(sums["loss"][0]) == pytest.approx(loss, rel=1e-5)
    assert float(sums["loss"][1]) == 6
    assert float(sums["entropy"][0]) == pytest.approx(entropy, rel=1e-5)
    assert float(sums["kl"][0]) == pytest.approx(loss - entropy, rel=1e-4)
    mean = np.mean(teachers, 0)[:6].mean(0)
    assert float(sums["mean_entropy"][0] / 6) == pytest.approx(-(mean * np.log(mean)).sum(), rel=1e-5)
    unit = np.asarray(told.features)[:6]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    assert float(sums["feature_std"][0] / 6) == pytest.approx(unit.std(0).mean() * 8**0.5, rel=1e-4)


def test_guards_tell_a_collapse_onto_one_prototype_and_onto_one_point():
    told = given()
    told.teacher = jnp.zeros((2 * B, 6)).at[:, 2].set(50.0)
    told.features = jnp.ones((2 * B, 8))
    sums = Task().sums(told, batch(), train=True)
    assert float(sums["mean_entropy"][0]) == pytest.approx(0, abs=1e-5)
    assert float(sums["feature_std"][0]) == pytest.approx(0, abs=1e-3)
    even = Task().sums(Told(told.student, jnp.zeros((2 * B, 6)), jnp.zeros(6), told.features), batch(), train=True)
    assert float(even["entropy"][0] / 6) == pytest.approx(np.log(6), rel=1e-5)


def test_the_teachers_temperature_grows_and_an_evaluation_has_the_last_one():
    task = Task(teacher_start=0.02, teacher_temperature=0.06, teacher_warmup=100)
    assert [float(task.teacher_heat(at, True)) for at in (0, 50, 100, 500)] == pytest.approx([0.02, 0.04, 0.06, 0.06])
    assert task.teacher_heat(0, False) == 0.06


def test_sinkhorn_gives_every_prototype_as_much():
    logits = jnp.asarray(np.random.default_rng(0).normal([3, 0, 0, 0], size=(64, 4)), jnp.float32)
    mask = jnp.arange(64) < 60
    shares = shared_out(logits, mask.astype(jnp.float32), lambda x: x)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    assert np.ptp(shares[:60].mean(0)) < 0.02 < np.ptp(jax.nn.softmax(logits)[:60].mean(0))


def settings(task, **optimiser) -> dict:
    made, _ = optim.make(name="adamw", learning_rate=1e-2, total_steps=10, decay=(".*/kernel",), **optimiser)
    return dict(model=MODEL, task=task, optimiser=made, seed=0)


def initialised(parts) -> step.State:
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch().items()}
    return jax.device_get(jax.jit(partial(step.initialise, batch=like, ema=True, **parts))())


def run(devices, parts, steps=3):
    """The state after each of the steps, and the last sums."""
    state = initialised(parts)
    function = partial(step.train_step, accumulate=1, ema_decay=0.5, **parts)
    train_step = devices.compile_train(function, state)
    state, states = devices.put_state(state), []
    for number in range(steps):
        state, sums = train_step(state, devices.put(batch(number)))
        states.append(jax.device_get(devices.get_state(state)))
    return states, devices.fetch(sums)


FROZEN = settings(Task(frozen_steps=2, teacher_temperature=0.5))


@pytest.fixture(scope="module")
def trained():
    return run(Mesh(ONE, 1), FROZEN)


@pytest.mark.parametrize("devices", [Mesh(ALL, 8), Pmap(ALL)])
def test_teacher_centre_and_guards_are_the_same_on_any_devices(devices, trained):
    (*_, state), sums = run(devices, FROZEN)
    close = partial(np.testing.assert_allclose, rtol=2e-3, atol=2e-4)
    expected = trained[0][-1]
    jax.tree.map(close, (state.ema, state.collections), (expected.ema, expected.collections))
    for name in ("loss", "kl", "mean_entropy", "feature_std"):
        ours, theirs = (s[name][0] / s[name][1] for s in (sums, trained[1]))
        assert float(ours) == pytest.approx(float(theirs), rel=2e-3, abs=1e-4), name


def test_prototypes_stay_while_they_are_frozen(trained):
    before, (_, two, three) = initialised(FROZEN).params["projection"], (s.params["projection"] for s in trained[0])
    np.testing.assert_array_equal(two["direction"], before["direction"])
    assert np.abs(three["direction"] - two["direction"]).max() > 1e-4
    np.testing.assert_array_equal(three["length"], 1)


def test_the_centre_is_the_moving_average_of_the_teachers_outputs(trained):
    variables = initialised(FROZEN).variables
    views = np.concatenate([batch()["image"][:6], batch()["second"][:6]])
    output, centre, _ = jax.jit(partial(MODEL.apply, train=False))(variables, views)
    assert not np.any(centre)
    np.testing.assert_allclose(trained[0][0].collections["centre"]["mean"], 0.1 * output.mean(0), atol=1e-6)


def test_the_average_rises_to_the_end():
    decays = [float(step.averaging_decay(0.996, at, False, 1000)) for at in (1, 501, 1001)]
    assert decays == pytest.approx([0.996, 0.998, 1.0])


def test_weight_decay_rises_by_a_cosine():
    schedule = optim.decay_strength(optim.Settings(weight_decay=0.04, end_weight_decay=0.4), 100)
    assert [float(schedule(at)) for at in (0, 50, 100, 200)] == pytest.approx([0.04, 0.22, 0.4, 0.4])
    assert optim.decay_strength(optim.Settings(weight_decay=0.1), 100) == 0.1
    made, _ = optim.make(name="adamw", learning_rate=1.0, schedule="constant", total_steps=2, weight_decay=0.0,
                         end_weight_decay=0.5, clip_norm=0.0)  # fmt: skip
    params = {"a": {"kernel": jnp.full((2, 2), 2.0)}}
    state, zero = made.init(params), jax.tree.map(jnp.zeros_like, params)
    steps = []
    for _ in range(3):
        updates, state = made.update(zero, state, params)
        steps.append(float(updates["a"]["kernel"][0, 0]))
    assert steps == pytest.approx([0.0, -0.5, -1.0])


def test_views_that_do_not_fit_are_one_line():
    image = np.zeros((2, 8, 8, 1), np.float32)

    def refused(line, image=image, **changes):
        model = dino.Model(outputs=1, **SIZE | HEAD | changes)
        with pytest.raises(UserError, match=line) as raised:
            jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
        assert "\n" not in str(raised.value)

    refused("a view of 7x8 does not divide into patches of 2", image[:, :7])
    refused("position_grid is not set", position_grid=None)
    refused("positions=learned_2d has no places in crops", positions="learned_2d")


def test_a_head_has_as_many_parameters_as_published():
    """facebookresearch/dino: ViT-S, three layers of 2,048, 256, 65,536 prototypes."""
    head = dino.Projection(65_536, 3, 2048, 256, False, jnp.float32)
    shapes = jax.eval_shape(lambda: head.init(jax.random.key(0), np.zeros((1, 384), np.float32), False))["params"]
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 22_352_128


@pytest.mark.parametrize(
    ("variant", "count"), [("S/16", 21_665_664), ("S/8", 21_670_272), ("B/16", 85_798_656), ("B/8", 85_807_872)]
)
def test_a_backbone_has_as_many_parameters_as_published(variant, count):
    model = dino.Model(0, variant, position_grid=(224 // int(variant[2:]),) * 2)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, 224, 224, 3), np.float32), train=False))
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == count
