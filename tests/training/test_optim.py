from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from errors import UserError
from training import optim, optimisers
from training.trees import by_name

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


def test_the_rate_is_held_falls_with_a_power_or_by_stairs():
    held = rates("linear", hold=0.5)
    assert (held[10:56] == 2.0).all()
    np.testing.assert_allclose(held[55:], 2 * (1 - np.arange(46) / 45), atol=1e-6)
    left = 1 - np.arange(91) / 90
    np.testing.assert_allclose(rates("linear", power=0.9)[10:], 2 * left**0.9, atol=1e-6)
    stairs = rates("stairs", stairs=(0.6, 0.9), stair=4.0)
    np.testing.assert_allclose(stairs[[10, 59, 60, 89, 90, 100]], [2, 2, 0.5, 0.5, 0.125, 0.125], rtol=1e-6)
    both = rates("stairs", stairs=(0.6, 0.601), stair=4.0)  # at one step
    np.testing.assert_allclose(both[[59, 60, 100]], [2, 0.125, 0.125], rtol=1e-6)
    for schedule in ("cosine", "linear"):
        assert (rates(schedule, hold=0.999)[10:100] == 2.0).all()
        assert rates(schedule, hold=0.999)[100] == 0


def test_what_a_pattern_names_has_its_share_of_the_rate():
    optimiser, _ = optim.make(
        name="sgd",
        learning_rate=1.0,
        total_steps=10,
        schedule="constant",
        clip_norm=0.0,
        rates=((".*bias", 0.5), ("encoder/.*", 0.1)),
    )
    updates, _ = optimiser.update(PARAMS, optimiser.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["encoder"]["dense"]["bias"], -0.5)
    np.testing.assert_allclose(updates["encoder"]["dense"]["kernel"], -0.1)
    np.testing.assert_allclose(updates["norm"]["scale"], -1.0)
    optimiser, _ = optim.make(name="sgd", total_steps=10, rates=(("encoder/kernel", 0.1),))
    with pytest.raises(UserError, match=r"config\.optim\.rates: 'encoder/kernel' matches no parameter"):
        optimiser.init(PARAMS)


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


@pytest.mark.parametrize("largest", [0.5, 50.0])
def test_clipping_is_optax_clipping_whether_the_norm_is_known_or_not(largest):
    grads = jax.tree.map(jnp.sin, WIDE)
    theirs, _ = optax.clip_by_global_norm(largest).update(grads, optax.EmptyState())
    for known in ({}, {"grad_norm": optax.tree.norm(grads)}):
        ours, _ = optim.clipped(largest).update(grads, optax.EmptyState(), **known)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_adamw_is_optax_adamw():
    ours, _ = optim.make(name="adamw", learning_rate=0.01, total_steps=10, schedule="constant", weight_decay=0.3)
    theirs = optax.adamw(0.01, weight_decay=0.3, mask=lambda p: optim.decayed(p, (".*/kernel",)))
    grads = jax.tree.map(lambda x: 0.3 * x, PARAMS)
    state_a, state_b, params_a, params_b = ours.init(PARAMS), theirs.init(PARAMS), PARAMS, PARAMS
    for _ in range(3):
        updates, state_a = ours.update(grads, state_a, params_a)
        params_a = optax.apply_updates(params_a, updates)
        updates, state_b = theirs.update(grads, state_b, params_b)
        params_b = optax.apply_updates(params_b, updates)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), params_a, params_b)


WIDE = {"dense": {"kernel": jnp.linspace(-2, 2, 128 * 130).reshape(128, 130), "bias": jnp.ones(130)}}


def after(optimiser: optax.GradientTransformation, steps: int = 3):
    """Parameters and state after some steps on gradients that follow from the parameters."""
    params, state = WIDE, optimiser.init(WIDE)
    for _ in range(steps):
        updates, state = optimiser.update(jax.tree.map(jnp.sin, params), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def today(name: str) -> optax.GradientTransformation:
    """What the three oldest optimisers have been from the start, checkpoints included."""
    core = {
        "adamw": lambda: optax.scale_by_adam(0.8, 0.99, 1e-6),
        "sgd": lambda: optax.trace(0.8, True),
        "adafactor": lambda: optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)),
    }[name]()
    return optax.chain(
        optax.clip_by_global_norm(0.5),
        core,
        optax.add_decayed_weights(0.1, lambda params: optim.decayed(params, (".*/kernel",))),
        optax.scale_by_learning_rate(optax.cosine_decay_schedule(0.02, 10)),
    )


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("adafactor", optax.adafactor(0.02, multiply_by_parameter_scale=True)),
        ("adamw", optax.chain(optax.scale_by_adam(), optax.scale_by_param_block_rms(), optax.scale(-0.02))),
    ],
)
def test_rates_by_the_size_of_parameters_are_those_of_optax(name, theirs):
    ours, _ = optim.make(
        name=name,
        learning_rate=0.02,
        total_steps=10,
        schedule="constant",
        weight_decay=0.0,
        clip_norm=0.0,
        multiply_by_parameter_scale=True,
    )
    (found, _), (expected, _) = after(ours), after(theirs)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), found, expected)


OWN = {"adamw": dict(b1=0.8, b2=0.99, eps=1e-6), "sgd": dict(momentum=0.8, nesterov=True), "adafactor": {}}


@pytest.mark.parametrize("name", OWN)
def test_old_checkpoints_state_and_arithmetic_stay(name):
    ours, _ = optim.make(name=name, learning_rate=0.02, total_steps=10, clip_norm=0.5, weight_decay=0.1, **OWN[name])
    theirs = today(name)
    found, expected = after(ours), after(theirs)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


FREE = ("cocob", "dadapt_adamw", "dog", "dowg", "momo", "polyak_sgd", "prodigy", "adadelta")  # find their own rate
TREE = {
    "block_00": {"query": {"kernel": jnp.full((4, 2, 3), 2.0)}, "mlp": {"kernel": jnp.full((6, 5), 1.5)}},
    "embedding": {"embedding": jnp.full((7, 3), 1.0)},
    "head": {"kernel": jnp.full((3, 2), -1.0), "bias": jnp.full(2, -1.0)},
}


def loss(params):
    return sum(jnp.sum((x - 0.3) ** 2) for x in jax.tree.leaves(params))


def descend(steps=20, frozen=(), **section):
    """The parameters to train and those to evaluate after some steps, and the state."""
    optimiser, _ = optim.make(total_steps=100, frozen=frozen, **section)

    @jax.jit
    def step(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimiser.update(grads, state, params, value=value, grad_fn=lambda p, i: jax.grad(loss)(p))
        return (optax.apply_updates(params, updates), state), value

    (params, state), _ = jax.lax.scan(step, (TREE, optimiser.init(TREE)), None, steps)
    return params, optim.eval_params(state, params), state


@pytest.mark.parametrize("name", optimisers.names())
def test_every_optimiser_of_optax_goes_downhill_with_all_that_stands_around_it(name):
    rate = 1.0 if name in FREE else 0.02
    around = dict(weight_decay=1e-3, layer_decay=0.9, clip_norm=1.0, warmup_steps=2, order=lambda: list(by_name(TREE)))
    around |= dict(rates=((".*kernel", 0.9),))
    params, evaluated, state = descend(
        name=name, learning_rate=rate, schedule="constant", frozen=("head/.*",), **around
    )
    assert loss(params) < loss(TREE)
    assert loss(evaluated) < loss(TREE)
    jax.tree.map(np.testing.assert_array_equal, params["head"], TREE["head"])
    jax.tree.map(np.testing.assert_array_equal, evaluated["head"], TREE["head"])
    assert all(x.dtype != "object" and x.dtype.itemsize for x in jax.tree.leaves(state))  # a checkpoint can hold it


def test_that_is_most_of_what_optax_has():
    assert {"lion", "lamb", "lars", "muon", "prodigy", "rmsprop", "sam", "schedule_free_adamw", "yogi"} <= {
        *optimisers.names()
    }
    assert len(optimisers.names()) >= 40
    for name in optimisers.REFUSED:
        with pytest.raises(UserError, match=f"config.optim.name='{name}' is not supported: "):
            optim.make(name=name, total_steps=10)


def test_every_key_is_listed_with_its_default_and_meaning():
    assert optim.keys("lion")["b2"] == (float, 0.99)
    assert optim.keys("adamw")["b2"].default == 0.999
    assert optim.keys("sgd")["momentum"].default == 0.9
    assert optim.keys("rmsprop")["decay"].default == (".*/kernel",)
    assert optim.keys("rmsprop")["decay_rate"].default == 0.9
    assert {"rho", "optimizer", "b1"} <= optim.keys("sam", "adamw").keys()
    assert "mask" not in optim.keys("lion")
    for name in optimisers.names():
        found = optim.keys(name)
        assert list(found)[:2] == ["name", "learning_rate"]
        assert set(optim.meanings(name)) <= set(found)
        assert set(optim.Settings.__dataclass_fields__) <= set(optim.meanings(name))


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (
            dict(name="adamv"),
            r"config.optim.name='adamv' is not an optimiser: did you mean 'adam'\? There is: acprop, ",
        ),
        (dict(name="lion", momentum=0.9), r"config.optim.momentum is not a setting: .*There is: b1, b2, "),
        (dict(name="lion", b3=0.9), r"config.optim.b3 is not a setting: There is: b1, b2, "),
        (dict(name="lion", b2="much"), r"config.optim.b2='much' should be a valid number\.$"),
        (dict(name="adamw", b2=1.5), r"config.optim.b2=1.5 should be less than 1"),
        (dict(name="muon", ns_steps=0), r"config.optim.ns_steps=0 should be greater than or equal to 1"),
        (dict(name="muon", preconditioning="schaten"), r"did you mean 'schatten'\?"),
        (dict(name="adamw", layer_decay=0.0), r"config.optim.layer_decay=0.0 should be greater than 0"),
        (dict(name="adamw", decay=("(",)), r"config.optim.decay\[0\]='\(' should be a regular expression"),
        (dict(name="schedule_free_adamw"), r"config.optim.schedule='cosine' lowers the learning rate.*=constant"),
        (dict(hold=1.0), r"config.optim.hold=1.0 should be less than 1"),
        (dict(schedule="rsqrt", hold=0.5), r"config.optim.hold is of config.optim.schedule=cosine or linear, and"),
        (dict(power=0.9), r"config.optim.power is of config.optim.schedule=linear, and the schedule is cosine"),
        (dict(schedule="stairs"), r"config.optim.stairs=\(\) should be growing shares"),
        (dict(schedule="stairs", stairs=(0.9, 0.6)), r"config.optim.stairs=\(0.9, 0.6\) should be growing shares"),
        (dict(rates=(("(", 0.1),)), r"config.optim.rates\[0\]\[0\]='\(' should be a regular expression"),
        (dict(rates=(("a", -1.0),)), r"config.optim.rates\[0\]\[1\]=-1.0 should be greater than or equal to 0"),
        (dict(name="sam", optimizer="sam"), r"config.optim.optimizer='sam' cannot be used within sam"),
        (dict(name="sam", optimizer="adamv"), r"config.optim.name='adamv' is not an optimiser"),
    ],
)
def test_what_cannot_be_is_one_line(section, line):
    with pytest.raises(UserError, match=line) as error:
        optim.make(total_steps=10, **section)
    assert "\n" not in str(error.value)


def test_decay_follows_the_patterns_in_every_way_of_optax():
    """lion has a mask of its own, adam no decay at all, momo_adam a decay without a mask, muon two parts."""
    still = jax.tree.map(jnp.zeros_like, TREE)
    for name in ("lion", "adam", "momo_adam", "muon", "schedule_free_adamw", "sgd"):
        optimiser, _ = optim.make(
            name=name, learning_rate=0.5, total_steps=10, schedule="constant", weight_decay=0.1, decay=("head/kernel",)
        )
        state = optimiser.init(TREE)
        updates, _ = optimiser.update(still, state, TREE, value=jnp.ones(()))
        np.testing.assert_allclose(updates["head"]["kernel"], 0.05, rtol=1e-5, err_msg=name)
        others = jax.tree.leaves(updates | {"head": updates["head"]["bias"]})
        assert max(float(jnp.abs(x).max()) for x in others) < 1e-6, name  # but for schedule-free's rounding


def test_muon_takes_the_matrices_of_layers_whatever_their_rank():
    stacked = {"kernel": jnp.ones((5, 4, 2, 3))}
    params = {
        "encoder": {"block_00": TREE["block_00"] | {"out": {"kernel": jnp.ones((2, 3, 4)), "bias": jnp.ones(4)}}},
        "decoder": {"blocks": {"query": stacked, "out": {"kernel": jnp.ones((5, 2, 3, 4))}}},
        "trunk": {"stage_1_unit_01": {"conv_1": {"kernel": jnp.ones((3, 3, 2, 4))}}},
        "embedding": TREE["embedding"],
        "head": TREE["head"],
    }
    leaf = lambda x: x is None or hasattr(x, "output_axis")  # noqa: E731
    found = optimisers.matrices(params)
    assert tuple(found["encoder"]["block_00"]["query"]["kernel"]) == ((0,), (1, 2))
    assert tuple(found["encoder"]["block_00"]["out"]["kernel"]) == ((0, 1), (2,))
    assert tuple(found["encoder"]["block_00"]["mlp"]["kernel"]) == ((0,), (1,))
    assert tuple(found["decoder"]["blocks"]["query"]["kernel"]) == ((1,), (2, 3))
    assert tuple(found["decoder"]["blocks"]["out"]["kernel"]) == ((1, 2), (3,))
    assert tuple(found["trunk"]["stage_1_unit_01"]["conv_1"]["kernel"]) == ((0, 1, 2), (3,))
    assert jax.tree.leaves([found["embedding"], found["head"]], is_leaf=leaf) == [None, None, None]


def test_a_stacked_matrix_moves_as_it_does_alone():
    alone = jax.random.normal(jax.random.key(0), (2, 4, 2, 3))
    written_out = {f"block_0{n}": {"query": {"kernel": alone[n]}} for n in range(2)}
    optimiser, _ = optim.make(name="muon", learning_rate=1.0, total_steps=10, schedule="constant", clip_norm=0.0)
    together = {"blocks": {"query": {"kernel": alone}}}
    updates, _ = optimiser.update(together, optimiser.init(together), together)
    each, _ = optimiser.update(written_out, optimiser.init(written_out), written_out)
    for n in range(2):
        kernel = each[f"block_0{n}"]["query"]["kernel"]
        np.testing.assert_allclose(updates["blocks"]["query"]["kernel"][n], kernel, rtol=1e-4, atol=1e-5)
        values = jnp.linalg.svd(kernel.reshape(4, 6), compute_uv=False) / (0.2 * 6**0.5)
        assert (abs(values - 0.95) < 0.35).all()  # orthogonal but for the iteration's own spread


def test_sam_follows_the_gradient_uphill_of_the_weights():
    """2010.01412, equation 2, for one step of plain gradient descent."""
    optimiser, _ = optim.make(
        name="sam", rho=0.1, momentum=0.0, learning_rate=0.5, total_steps=10, schedule="constant", clip_norm=0.0
    )
    quartic = lambda w: jnp.sum(w**4)  # noqa: E731
    w = jnp.array([1.0, -2.0])
    grads = jax.grad(quartic)(w)
    updates, _ = optimiser.update(
        grads, optimiser.init(w), w, value=quartic(w), grad_fn=lambda p, _: jax.grad(quartic)(p)
    )
    expected = -0.5 * jax.grad(quartic)(w + 0.1 * grads / jnp.linalg.norm(grads))
    np.testing.assert_allclose(updates, expected, rtol=1e-5)


def test_schedule_free_is_evaluated_at_its_mean():
    params, evaluated, _ = descend(5, name="schedule_free_sgd", learning_rate=0.1, schedule="constant", clip_norm=0.0)
    start = y = z = x = float(TREE["head"]["bias"][0])
    for t in range(1, 6):  # 2405.15682, equations 3 to 5, with a constant rate
        z -= 0.1 * 2 * (y - 0.3)
        x = (1 - 1 / t) * x + z / t
        y = 0.1 * z + 0.9 * x
    assert start != x != y
    assert float(params["head"]["bias"][0]) == pytest.approx(y, rel=1e-5)
    assert float(evaluated["head"]["bias"][0]) == pytest.approx(x, rel=1e-5)


def test_sections_of_earlier_runs_are_read():
    every = dict(b1=0.8, b2=0.98, eps=1e-8, momentum=0.9, nesterov=False)
    for name, own in optim.EARLIER.items():
        section = optim.from_earlier(dict(name=name, learning_rate=0.1, **every))
        assert section == {"name": name, "learning_rate": 0.1} | {key: every[key] for key in own}
        optim.make(total_steps=10, **section)
    assert optim.from_earlier(dict(name="lion", b1=0.8)) == dict(name="lion", b1=0.8)


def test_a_warmup_longer_than_the_run_is_an_error():
    with pytest.raises(UserError, match="warmup_steps=10 leaves nothing of 10 steps"):
        optim.make(name="adamw", learning_rate=1.0, total_steps=10, warmup_steps=10)
