"""The recurrent models: against loops in NumPy, decoding against teacher forcing, and what padding must not do."""

import itertools
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from errors import UserError
from models.cells import CELLS
from models.seq2seq import Encoder

B, S, T, E, H, K, V, VS = 4, 5, 4, 6, 8, 2, 11, 9
ATTENTION = ("none", "bahdanau", "luong_dot", "luong_general")

SOURCE = np.array([[3, 1, 4, 1, 5], [2, 6, 5, 0, 0], [7, 0, 0, 0, 0], [8, 2, 8, 1, 0]])
INPUTS = np.array([[2, 7, 1, 8], [2, 8, 0, 0], [2, 5, 9, 0], [2, 4, 10, 3]])
REAL = SOURCE > 0

# One layer of tanh cells for each attention, which a loop repeats; then the other cells, one direction, two layers.
COMBINATIONS = {
    "rnn-none": dict(cell="rnn", attention="none", bidirectional=True),
    "rnn-bahdanau": dict(cell="rnn", attention="bahdanau", bidirectional=True),
    "rnn-luong_dot": dict(cell="rnn", attention="luong_dot", bidirectional=True),
    "rnn-luong_general": dict(cell="rnn", attention="luong_general", bidirectional=True),
    "lstm-none-2": dict(cell="lstm", attention="none", bidirectional=False, layers=2),
    "gru-bahdanau-2": dict(cell="gru", attention="bahdanau", bidirectional=True, layers=2),
    "lstm-luong_dot": dict(cell="lstm", attention="luong_dot", bidirectional=False, tie=True),
}
LOOPS = [name for name in COMBINATIONS if name.startswith("rnn")]
MORE = [name for name in COMBINATIONS if name not in LOOPS]
ATTENTIVE = [name for name, arguments in COMBINATIONS.items() if arguments["attention"] != "none"]


def build(**arguments: Any) -> nn.Module:
    settings = dict(source_vocabulary=VS, embedding_dim=E, hidden_dim=H, dropout=0.5, tie=False) | arguments
    return models.build("seq2seq", settings.pop("outputs", V), **settings)


@dataclass
class Built:
    """A model with parameters, each of its methods one compiled function."""

    model: nn.Module
    params: dict

    def __post_init__(self):
        def forward(source, inputs, train=False, seed=0):
            rngs = {"dropout": jax.random.key(seed, impl="rbg")}
            out = self.model.apply(self.variables, source, inputs, train=train, rngs=rngs, mutable="probe")
            return out[0], out[1].get("probe", {}).get("cross_attention", (None,))[0]

        def method(name):
            return lambda *inputs, **arguments: self.model.apply(self.variables, *inputs, **arguments, method=name)

        self.variables = {"params": self.params}
        self.forward = jax.jit(forward, static_argnames="train")
        self.start = jax.jit(method("start"), static_argnames=("beams", "length"))
        self.step = jax.jit(method("step"))


@pytest.fixture(scope="module")
def built(filled):
    """built(name) -> Built, once a module."""
    made = {}

    def make(name: str) -> Built:
        if name not in made:
            model = build(**COMBINATIONS[name])
            made[name] = Built(model, filled(model, SOURCE, INPUTS)["params"])
        return made[name]

    return make


def differ(a, b) -> bool:
    return np.abs(np.asarray(a) - np.asarray(b)).max() > 1e-3


# Loops


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


def naive(p: dict, attention: str, source: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One sentence through a bidirectional model of one tanh layer, in float64: logits (T, V) and α (T, S)."""
    p = jax.tree.map(np.float64, p)

    def affine(layer: dict, *x: np.ndarray) -> np.ndarray:
        return np.concatenate(x) @ layer["kernel"] + layer.get("bias", 0)

    def cell(layer: dict, state: np.ndarray, *x: np.ndarray) -> np.ndarray:
        return np.tanh(affine(layer["i"], *x) + affine(layer["h"], state))

    embedded = p["source_embedding"]["embedding"][source]
    forward, backward = [np.zeros(H)], [np.zeros(H)]
    for x in embedded:
        forward.append(cell(p["encoder"]["forward_0"], forward[-1], x))
    for x in embedded[::-1]:
        backward.append(cell(p["encoder"]["backward_0"], backward[-1], x))
    h = np.concatenate([forward[1:], backward[:0:-1]], axis=1)
    last = np.concatenate([forward[-1], backward[-1]])

    s, fed, logits, weights = np.tanh(affine(p["encoder"]["start_0_0"], last)), np.zeros(H), [], []
    for e in p["target_embedding"]["embedding"][inputs]:
        if attention == "none":
            context = last
        elif attention == "bahdanau":
            query, key = p["decoder"]["attention"]["query"]["kernel"], p["encoder"]["key"]
            score = p["decoder"]["attention"]["score"]["kernel"][:, 0]
            alpha = softmax(np.array([score @ np.tanh(s @ query + affine(key, h_j)) for h_j in h]))
            context = alpha @ h
        if attention in ("none", "bahdanau"):
            s = cell(p["decoder"]["layer_0"], s, e, context)
            logits.append(affine(p["head"], e, s, context))
        else:
            s = cell(p["decoder"]["layer_0"], s, e, fed)
            keys = [h_j @ p["encoder"]["key"]["kernel"] for h_j in h]
            alpha = softmax(np.array([s @ key for key in keys]))
            context = alpha @ (keys if attention == "luong_dot" else h)
            fed = np.tanh(affine(p["decoder"]["combine"], context, s))
            logits.append(affine(p["head"], fed))
        if attention != "none":
            weights.append(alpha)
    return np.array(logits), np.array(weights)


@pytest.mark.parametrize("name", LOOPS)
def test_the_model_equals_a_loop_over_its_equations(built, name):
    run, attention = built(name), COMBINATIONS[name]["attention"]
    logits, weights = run.forward(SOURCE, INPUTS)
    for row, length in enumerate(REAL.sum(1)):
        expected, alpha = naive(run.params, attention, SOURCE[row, :length], INPUTS[row])
        np.testing.assert_allclose(logits[row], expected, rtol=1e-5, atol=1e-5)
        if attention != "none":
            np.testing.assert_allclose(weights[row, :, :length], alpha, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_probe_weighs_real_source_tokens_only(built, name):
    logits, weights = built(name).forward(SOURCE, INPUTS)
    assert logits.dtype == jnp.float32
    if name not in ATTENTIVE:
        assert weights is None
        return
    assert weights.shape == (B, T, S)
    assert not np.asarray(weights)[np.repeat(~REAL[:, None], T, axis=1)].any()
    np.testing.assert_allclose(weights.sum(-1), np.ones((B, T)), atol=1e-6)
    assert differ(weights[0, 0], 1 / S)


# Decoding


@pytest.mark.parametrize("name", COMBINATIONS)
def test_decoding_step_by_step_equals_teacher_forcing_on_every_beams_prefix(built, name):
    run, draw = built(name), np.random.default_rng(0)
    source = SOURCE[:2]  # with K beams each: as many rows as SOURCE
    cache = run.start(source, beams=K, length=T)
    prefix = np.zeros((2, K, T), int)
    for t, parents in enumerate([[[0, 1], [0, 1]], [[1, 0], [0, 1]], [[1, 1], [1, 0]], [[0, 0], [0, 1]]]):
        parents = np.array(parents)
        prefix = np.take_along_axis(prefix, parents[..., None], axis=1)
        prefix[..., t] = draw.permutation(np.arange(1, V))[: 2 * K].reshape(2, K)
        logits, cache = run.step(prefix[..., t], parents, cache)
        expected, _ = run.forward(np.repeat(source, K, axis=0), prefix.reshape(2 * K, T))
        np.testing.assert_allclose(logits, expected[:, t].reshape(2, K, V), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("cell", CELLS)
def test_the_source_is_kept_once_a_sentence_and_a_step_keeps_the_caches_shapes(cell, attention, dtype):
    model = build(cell=cell, attention=attention, bidirectional=True, layers=2, dtype=dtype)
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    logits, variables = jax.eval_shape(lambda: model.init_with_output(rngs, SOURCE, INPUTS, train=True))
    cache = jax.eval_shape(lambda v: model.apply(v, SOURCE, beams=K, length=T, method="start"), variables)
    token = np.ones((B, K), int)
    one, after = jax.eval_shape(lambda v, c: model.apply(v, token, token, c, method="step"), variables, cache)
    assert (logits.shape, one.shape) == ((B, T, V), (B, K, V))
    assert {leaf.dtype for leaf in [logits, one, *jax.tree.leaves(variables["params"])]} == {jnp.dtype("float32")}
    assert after == cache
    assert {leaf.shape[:2] for leaf in jax.tree.leaves(cache["memory"])} == {(B, 1 if attention == "none" else S)}
    state = jax.tree.leaves(cache["state"])
    assert {(leaf.shape, leaf.dtype) for leaf in state} == {((B, K, H), jnp.dtype(dtype))}
    assert len(state) == 2 * (1 + (cell == "lstm")) + attention.startswith("luong")


# Padding, and who may see what


@pytest.mark.parametrize("name", [*MORE, "rnn-luong_general"])
def test_more_padding_changes_nothing(built, name):
    run = built(name)
    logits, weights = run.forward(SOURCE, INPUTS)
    wider, wider_weights = run.forward(np.pad(SOURCE, ((0, 0), (0, 2))), np.pad(INPUTS, ((0, 0), (0, 1))))
    np.testing.assert_allclose(wider[:, :T], logits, rtol=1e-5, atol=1e-6)
    if name in ATTENTIVE:
        np.testing.assert_allclose(wider_weights[:, :T, :S], weights, rtol=1e-5, atol=1e-6)


def test_packed_rows_are_refused():
    with pytest.raises(UserError, match=r"packed row apart: set --config.data.packing=false"):
        build(**COMBINATIONS["rnn-none"]).init(jax.random.key(0), SOURCE, INPUTS, SOURCE, INPUTS, train=False)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_no_logits_depend_on_later_inputs_and_all_on_earlier_ones_and_on_every_source_token(built, name):
    run = built(name)
    before, _ = run.forward(SOURCE, INPUTS)
    for t in range(T):
        after, _ = run.forward(SOURCE, np.where(np.arange(T) == t, 6, INPUTS))
        np.testing.assert_allclose(after[:, :t], before[:, :t], rtol=1e-6, atol=1e-6)
        assert all(differ(after[0, later], before[0, later]) for later in range(t, T))
    for s in range(S):
        after, _ = run.forward(np.where((np.arange(S) == s) & REAL, 6, SOURCE), INPUTS)
        assert np.abs(after[0, 0] - before[0, 0]).max() > 1e-5


@pytest.mark.parametrize("name", ["rnn-bahdanau", "lstm-luong_dot"])
def test_a_row_of_padding_alone_gives_finite_logits_and_gradients(built, name):
    run, source = built(name), SOURCE * (np.arange(B) > 0)[:, None]

    @jax.jit
    def loss(params):
        logits = run.model.apply({"params": params}, source, INPUTS, train=False)
        return jnp.square(logits).mean(), logits

    gradient, logits = jax.grad(loss, has_aux=True)(run.params)
    assert np.isfinite(logits).all()
    assert all(np.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(gradient))
    np.testing.assert_allclose(logits[1:], run.forward(SOURCE, INPUTS)[0][1:], rtol=1e-5, atol=1e-6)


def test_each_direction_of_the_encoder_ends_at_its_last_real_token(filled):
    encoder = Encoder("rnn", "bahdanau", H, 1, 0.0, jnp.float32, bidirectional=True)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(B, S, E)), jnp.float32)
    variables = filled(encoder, x, REAL)
    run = jax.jit(lambda x: encoder.apply(variables, x, REAL, train=False))
    memory, (start,) = run(x)

    moved = run(np.where(REAL[..., None], x, 1e3))
    np.testing.assert_allclose(moved[1][0], start, atol=1e-6)
    np.testing.assert_allclose(np.where(REAL[..., None], moved[0]["values"] - memory["values"], 0), 0, atol=1e-6)

    last = np.arange(S) == REAL.sum(1)[:, None] - 1
    later = np.abs(run(np.where(last[..., None], x + 1, x))[0]["values"] - memory["values"]) > 1e-4
    forward, backward = later[..., :H].any(-1), later[..., H:].any(-1)
    np.testing.assert_array_equal(forward & REAL, last)
    np.testing.assert_array_equal(backward & REAL, REAL)
    # Both ends start the decoder: the forward state of the last real token, the backward state of the first.
    ends = np.concatenate([memory["values"][last][:, :H], memory["values"][:, 0, H:]], axis=1)
    bridge = variables["params"]["start_0_0"]
    np.testing.assert_allclose(start, np.tanh(ends @ bridge["kernel"] + bridge["bias"]), rtol=1e-5, atol=1e-6)


def test_dropout_follows_the_key_in_training_only(built):
    run = built("gru-bahdanau-2")
    first, again, other = (run.forward(SOURCE, INPUTS, train=True, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert differ(first, other)
    np.testing.assert_array_equal(run.forward(SOURCE, INPUTS)[0], run.forward(SOURCE, INPUTS, seed=1)[0])


# Parameters


def parameters(model: nn.Module) -> int:
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), SOURCE, INPUTS, train=False))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def gates(cell: str, inputs: int, h: int) -> int:
    """A cell's parameters: kernels of each gate, a bias each, and of a GRU a fourth one."""
    number = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    return number * (inputs * h + h * h + h) + (h if cell == "gru" else 0)


def formula(cell: str, attention: str, directions: int, e: int, h: int, source: int, target: int, tie: bool) -> int:
    """The parameters of one layer, from the equations."""
    d = directions * h
    encoder = source * e + directions * gates(cell, e, h) + (1 + (cell == "lstm")) * (d * h + h)
    scores = {
        "none": 0,
        "bahdanau": d * h + h + h * h + h,
        "luong_dot": d * h * (directions > 1),
        "luong_general": d * h,
    }
    if attention.startswith("luong"):
        context = h if attention == "luong_dot" else d
        decoder, seen = gates(cell, e + h, h) + (context + h) * h, h
    else:
        decoder, seen = gates(cell, e + d, h), e + h + d
    head = seen * e + e if tie else seen * target + target
    return encoder + scores[attention] + target * e + decoder + head


@pytest.mark.parametrize(("cell", "attention", "directions"), list(itertools.product(CELLS, ATTENTION, (1, 2))))
def test_parameters_follow_from_the_equations(cell, attention, directions):
    tie = directions == 2
    model = build(cell=cell, attention=attention, bidirectional=directions == 2, tie=tie)
    assert parameters(model) == formula(cell, attention, directions, E, H, VS, V, tie)


def test_the_size_of_a_published_gru_with_attention():
    """bentrevett's third tutorial has 20,518,405; PyTorch's GRU has 6 biases of H where flax's has 4, here in 3 cells."""
    arguments = dict(cell="gru", attention="bahdanau", bidirectional=True, embedding_dim=256, hidden_dim=512)
    model = build(**arguments, outputs=5893, source_vocabulary=7853)
    assert parameters(model) == formula("gru", "bahdanau", 2, 256, 512, 7853, 5893, False) == 20_518_405 - 3 * 2 * 512


def test_layers_are_stacked_in_encoder_and_decoder():
    one, two = (build(cell="gru", attention="none", bidirectional=True, layers=layers) for layers in (1, 2))
    assert parameters(two) - parameters(one) == 2 * gates("gru", 2 * H, H) + 2 * H * H + H + gates("gru", H, H)


def test_a_fresh_model_starts_as_documented():
    model = build(cell="rnn", attention="none", bidirectional=False, outputs=4000, embedding_dim=16)
    params = jax.jit(lambda: model.init(jax.random.key(0, impl="rbg"), SOURCE, INPUTS, train=False)["params"])()
    np.testing.assert_allclose(params["target_embedding"]["embedding"].std(), 16**-0.5, rtol=0.05)
    layer = params["decoder"]["layer_0"]
    np.testing.assert_allclose(layer["h"]["kernel"].T @ layer["h"]["kernel"], np.eye(H), atol=1e-5)
    bound = (6 / (16 + 2 * H)) ** 0.5
    assert 0.9 * bound < np.abs(layer["i"]["kernel"]).max() <= bound
    assert not layer["i"]["bias"].any()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_dim", 0),
        ("embedding_dim", -1),
        ("layers", 0),
        ("source_vocabulary", 0),
        ("dropout", 1.0),
        ("dropout", -0.1),
    ],
)
def test_a_size_or_rate_that_cannot_be_is_named(key, value):
    with pytest.raises(UserError, match=rf"^config\.model\.{key}={value} should be "):
        parameters(build(**dict(cell="rnn", attention="none", bidirectional=False) | {key: value}))


@pytest.mark.parametrize("key", ["cell", "attention", "dtype"])
def test_a_choice_that_does_not_exist_is_refused(key):
    with pytest.raises(UserError, match=f"config.model.{key}='nothing' should be '"):
        build(**dict(cell="rnn", attention="none", bidirectional=False) | {key: "nothing"})
