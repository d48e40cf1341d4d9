import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from errors import UserError
from training import optim

PARAMS = {"encoder": {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}, "norm": {"scale": jnp.ones(2)}}


def rates(schedule, **arguments):
    _, rate = optim.make(
        name="adamw", learning_rate=2.0, total_steps=100, schedule=schedule, **({"warmup_steps": 10} | arguments)
    )
    return np.array([float(rate(step)) for step in range(101)])


@pytest.mark.parametrize("schedule", ["cosine", "linear", "rsqrt", "constant"])
def test_warmup_is_linear_and_never_zero(schedule):
    np.testing.assert_allclose(rates(schedule)[:10], 2.0 * np.arange(1, 11) / 10, rtol=1e-6)


def test_each_schedule_after_the_warmup():
    left = np.arange(91) / 90
    np.testing.assert_allclose(rates("cosine")[10:], 1 + np.cos(np.pi * left), atol=1e-6)
    np.testing.assert_allclose(rates("linear", end_learning_rate=0.5)[10:], 2 - 1.5 * left, atol=1e-6)
    np.testing.assert_allclose(rates("rsqrt")[10:], 2 * np.sqrt(10 / np.arange(11, 102)), rtol=1e-6)
    assert (rates("constant")[10:] == 2.0).all()
    assert rates("cosine", end_learning_rate=0.2)[-1] == pytest.approx(0.2)


def test_rsqrt_is_the_transformers_schedule():
    """1706.03762, equation 3, with d = 512 and 4000 steps of warm-up."""
    peak = 512**-0.5 * 4000**-0.5
    _, rate = optim.make(name="adamw", learning_rate=peak, total_steps=10**6, schedule="rsqrt", warmup_steps=4000)
    for step in (1, 100, 4000, 4001, 90_000):
        assert float(rate(step - 1)) == pytest.approx(
            512**-0.5 * min(step**-0.5, step * 4000**-1.5), rel=1e-5, abs=1e-6 * peak
        )


def test_only_what_the_patterns_name_decays():
    assert optim.decayed(PARAMS, (".*/kernel",)) == {
        "encoder": {"dense": {"kernel": True, "bias": False}},
        "norm": {"scale": False},
    }
    optimiser, _ = optim.make(name="sgd", learning_rate=0.5, total_steps=10, schedule="constant", weight_decay=0.1)
    updates, _ = optimiser.update(jax.tree.map(jnp.zeros_like, PARAMS), optimiser.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["encoder"]["dense"]["kernel"], -0.05, rtol=1e-6)
    assert not updates["encoder"]["dense"]["bias"].any()
    assert not updates["norm"]["scale"].any()


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(UserError, match="'kernal' matches no parameter"):
        optim.decayed(PARAMS, ("kernal",))


def test_clipping_bounds_the_whole_gradients_norm():
    optimiser, _ = optim.make(
        name="sgd", learning_rate=1.0, total_steps=10, schedule="constant", clip_norm=1.0, momentum=0.0
    )
    grads = jax.tree.map(lambda x: 100 * x, PARAMS)
    updates, _ = optimiser.update(grads, optimiser.init(PARAMS), PARAMS)
    assert float(optax.tree.norm(updates)) == pytest.approx(1.0, rel=1e-5)


def test_adamw_is_optax_adamw():
    ours, _ = optim.make(name="adamw", learning_rate=0.01, total_steps=10, schedule="constant", weight_decay=0.3)
    theirs = optax.adamw(0.01, weight_decay=0.3, mask=lambda p: optim.decayed(p, (".*/kernel",)))
    grads = jax.tree.map(lambda x: 0.3 * x, PARAMS)
    for (a, b), _ in [((ours, theirs), None)]:
        state_a, state_b, params_a, params_b = a.init(PARAMS), b.init(PARAMS), PARAMS, PARAMS
        for _ in range(3):
            updates, state_a = a.update(grads, state_a, params_a)
            params_a = optax.apply_updates(params_a, updates)
            updates, state_b = b.update(grads, state_b, params_b)
            params_b = optax.apply_updates(params_b, updates)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), params_a, params_b)


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_every_optimiser_goes_downhill(name):
    optimiser, _ = optim.make(name=name, learning_rate=0.02, total_steps=60, schedule="constant")
    params = {"w": {"kernel": jnp.full((130, 130), 3.0)}}  # adafactor factors matrices from 128 on
    state = optimiser.init(params)
    step = jax.jit(lambda p, s: optimiser.update(jax.grad(lambda q: jnp.mean(q["w"]["kernel"] ** 2) * 100)(p), s, p))
    for _ in range(60):
        updates, state = step(params, state)
        params = optax.apply_updates(params, updates)
    assert float(jnp.abs(params["w"]["kernel"]).max()) < 2.8


def test_a_warmup_longer_than_the_run_is_an_error():
    with pytest.raises(UserError, match="warmup_steps=10 leaves nothing of 10 steps"):
        optim.make(name="adamw", learning_rate=1.0, total_steps=10, warmup_steps=10)
