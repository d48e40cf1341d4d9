"""The recurrent classifier: against a loop in NumPy, and what padding must not do."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models.cells import CELLS

B, S, E, H, C, V = 4, 5, 6, 8, 3, 9

TOKENS = np.array([[3, 1, 4, 1, 5], [2, 6, 5, 0, 0], [7, 0, 0, 0, 0], [8, 2, 8, 1, 0]])
LENGTHS = (TOKENS > 0).sum(1)
COMBINATIONS = {
    "rnn-last": dict(cell="rnn"),
    "lstm-last-2": dict(cell="lstm", layers=2, gate_bias=1.0),
    "gru-mean": dict(cell="gru", pooling="mean"),
    "gru-last-both": dict(cell="gru", bidirectional=True, layers=2),
}


def build(outputs: int = C, **arguments: Any) -> nn.Module:
    return models.build("recurrent", outputs, **dict(vocabulary=V, embedding_dim=E, hidden_dim=H) | arguments)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def cell(kind: str, p: dict, carry: tuple, x: np.ndarray, bias: float = 0.0) -> tuple:
    """One token on, from (h,) or (h, c)."""
    h = carry[0]

    def both(gate: str) -> np.ndarray:
        return sum(v @ p[k + gate]["kernel"] + p[k + gate].get("bias", 0) for k, v in (("i", x), ("h", h)))

    if kind == "rnn":
        return (np.tanh(both("")),)
    if kind == "lstm":
        i, f, o = (sigmoid(both(gate) + bias) for gate in "ifo")
        c = f * carry[1] + i * np.tanh(both("g"))
        return o * np.tanh(c), c
    r, z = (sigmoid(both(gate) + bias) for gate in "rz")
    n = np.tanh(x @ p["in"]["kernel"] + p["in"]["bias"] + r * (h @ p["hn"]["kernel"] + p["hn"]["bias"]))
    return ((1 - z) * n + z * h,)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("pooling", "bias"), [("last", 1.5), ("mean", 0.0)])
def test_the_model_equals_a_loop_over_its_equations(filled, kind, pooling, bias):
    model = build(cell=kind, pooling=pooling, gate_bias=bias)
    variables = filled(model, TOKENS)
    p = jax.tree.map(np.float64, variables["params"])
    logits, seen = model.apply(variables, TOKENS, train=False, mutable="probe")
    for row, length in enumerate(LENGTHS):
        carry, states = (np.zeros(H), np.zeros(H)), []
        for x in p["embedding"]["embedding"][TOKENS[row, :length]]:
            carry = cell(kind, p["forward_0"], carry, x, bias)
            states.append(carry[0])
        expected = states[-1] if pooling == "last" else np.mean(states, axis=0)
        np.testing.assert_allclose(seen["probe"]["representation"][0][row], expected, rtol=1e-5, atol=1e-5)
        head = expected @ p["head"]["kernel"] + p["head"]["bias"]
        np.testing.assert_allclose(logits[row], head, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_padding_changes_nothing_and_every_token_something(filled, name):
    model = build(**COMBINATIONS[name])
    variables = filled(model, TOKENS)
    run = jax.jit(lambda tokens: model.apply(variables, tokens, train=False))
    logits = run(TOKENS)
    np.testing.assert_allclose(run(np.pad(TOKENS, ((0, 0), (0, 3)))), logits, rtol=1e-5, atol=1e-6)
    for s in range(S):
        changed = np.abs(run(np.where((np.arange(S) == s) & (TOKENS > 0), 6, TOKENS)) - logits).max(1) > 1e-6
        np.testing.assert_array_equal(changed, (s < LENGTHS) & (TOKENS[:, s] != 6))


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_row_of_padding_alone_gives_finite_logits_and_gradients(filled, pooling):
    model, tokens = build(cell="lstm", pooling=pooling), TOKENS * (np.arange(B) > 0)[:, None]
    loss = jax.jit(jax.value_and_grad(lambda v: jnp.square(model.apply(v, tokens, train=False)).sum()))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loss(filled(model, TOKENS))))


@pytest.mark.parametrize(("both", "width"), [(False, H), (True, 2 * H)])
def test_without_outputs_it_returns_the_representation(filled, both, width):
    arguments = dict(cell="gru", bidirectional=both)
    variables = filled(build(**arguments), TOKENS)
    body = {k: v for k, v in variables["params"].items() if k != "head"}
    found = build(0, **arguments).apply({"params": body}, TOKENS, train=False)
    _, seen = build(**arguments).apply(variables, TOKENS, train=False, mutable="probe")
    assert (found.shape, found.dtype) == ((B, width), jnp.float32)
    np.testing.assert_array_equal(found, seen["probe"]["representation"][0])


def test_dropout_is_of_training_alone(filled):
    model = build(cell="rnn", dropout=0.5)
    variables = filled(model, TOKENS)
    run = jax.jit(
        lambda seed, train: model.apply(variables, TOKENS, train=train, rngs={"dropout": jax.random.key(seed)}),
        static_argnums=1,
    )
    np.testing.assert_array_equal(run(0, False), run(1, False))
    assert np.abs(run(0, True) - run(1, True)).max() > 1e-3


@pytest.mark.parametrize("kind", CELLS)
def test_parameters_follow_from_the_equations_and_logits_are_float32(kind):
    model = build(cell=kind, layers=2, bidirectional=True, dtype="bfloat16")
    logits, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), TOKENS, train=False))
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[kind]
    layers = sum(2 * (gates * (inputs * H + H * H + H) + H * (kind == "gru")) for inputs in (E, 2 * H))
    leaves = jax.tree.leaves(variables["params"])
    assert sum(leaf.size for leaf in leaves) == V * E + layers + 2 * H * C + C
    assert {leaf.dtype for leaf in [logits, *leaves]} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("key", "value"), [("hidden_dim", 0), ("embedding_dim", -1), ("layers", 0), ("dropout", 1.0), ("dropout", -0.1)]
)
def test_a_size_or_rate_that_cannot_be_is_named(key, value):
    with pytest.raises(UserError, match=rf"^config\.model\.{key}={value} should be "):
        build(**dict(cell="rnn") | {key: value})


def test_recurrent_kernels_begin_orthogonal_or_uniform():
    def kernel(**arguments: str) -> np.ndarray:
        model = build(cell="rnn", **arguments)
        return model.init(jax.random.key(0), TOKENS, train=False)["params"]["forward_0"]["h"]["kernel"]

    np.testing.assert_allclose(kernel() @ kernel().T, np.eye(H), atol=1e-5)
    xavier = kernel(recurrent_init="xavier")
    assert np.abs(xavier @ xavier.T - np.eye(H)).max() > 0.1
    assert np.abs(xavier).max() <= (6 / (2 * H)) ** 0.5
