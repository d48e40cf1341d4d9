"""Prepared matrices: the same logits in float32, about the same in int8, and for which layers there are some."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import models
from errors import UserError
from models import prepared

B, S, V, K = 2, 5, 11, 2
SIZE = dict(width=8, depth=1, mlp_dim=12, heads=2, dropout=0.0)
SOURCE = np.random.default_rng(1).integers(1, V, (B, S))


def build(family: str, **arguments):
    if family == "gpt":
        return models.build("gpt", V, **SIZE | arguments)
    if family == "seq2seq":
        return models.build("seq2seq", V, source_vocabulary=None, cell="gru", attention="luong_dot", hidden_dim=8)
    own = arguments.get("tie", "all") != "all"
    return models.build("transformer", V, **SIZE | dict(source_vocabulary=V if own else None) | arguments)


def written(model):
    """(variables, prepared by each kind of weights) -> the logits of two steps, (2, B, K, V)."""

    def write(variables):
        apply = functools.partial(model.apply, variables)
        cache = apply(SOURCE, beams=K, length=2, method="start")
        rows, logits = jnp.broadcast_to(jnp.arange(K), (B, K)), []
        for token in (1, 2):
            more, cache = apply(jnp.full((B, K), token), rows, cache, method="step")
            logits.append(more)
        return jnp.stack(logits)

    def with_prepared(variables, made):
        with prepared.use():
            return write({**variables, prepared.COLLECTION: made})

    return jax.jit(write), jax.jit(with_prepared)


@pytest.mark.parametrize(
    ("family", "arguments"),
    [("transformer", {}), ("transformer", {"tie": "none"}), ("gpt", {"use_bias": False}), ("seq2seq", {})],
    ids=str,
)
def test_float32_gives_the_same_logits_and_int8_about_the_same(filled, family, arguments):
    model = build(family, **arguments)
    variables = filled(model, SOURCE, *[SOURCE] * (family != "gpt"))
    plain, with_prepared = written(model)
    expected = np.asarray(plain(variables))
    made = {weights: prepared.prepare(model, variables, weights) for weights in ("float32", "int8")}
    np.testing.assert_allclose(with_prepared(variables, made["float32"]), expected, rtol=1e-5, atol=1e-5)
    found = np.asarray(with_prepared(variables, made["int8"]))
    error = np.abs(found - expected).max() / expected.std()
    assert 1e-4 < error < 0.15  # rounded, and not by much


def test_int8_takes_every_matrix_of_a_transformer_and_float32_the_table_of_the_output(filled):
    model = build("transformer")
    variables = filled(model, SOURCE, SOURCE)
    params = flatten_dict(variables["params"])
    made = {weights: flatten_dict(prepared.prepare(model, variables, weights)) for weights in ("float32", "int8")}
    layers = {path[:-1] for path in params if path[-1] in ("kernel", "embedding")}
    assert made["int8"].keys() == {(*path, name) for path in layers for name in ("matrix", "scale")}
    assert {x.dtype for path, x in made["int8"].items() if path[-1] == "matrix"} == {jnp.dtype("int8")}
    (path,) = made["float32"]
    assert path == ("embedding", "matrix")
    np.testing.assert_array_equal(made["float32"][path], params["embedding", "embedding"].T)


def test_a_product_is_as_exact_as_its_rounded_factors():
    chance = np.random.default_rng(0)
    x, w = chance.normal(size=(3, 4, 64)).astype(np.float32), chance.normal(size=(64, 32)).astype(np.float32)
    x[1, 2], w[:, 5] = 0, 0
    matrix, scale = prepared.rounded(w, axis=0)
    assert np.abs(matrix).max() == prepared.LARGEST
    np.testing.assert_allclose(matrix * scale, w, atol=float(scale.max()) / 2 * 1.001)
    y = np.asarray(prepared.product(x, matrix, scale[0]))
    each = np.abs(x).max(-1, keepdims=True) / prepared.LARGEST / 2  # how far a rounded activation may be off
    bound = each * np.abs(w).sum(0) + (np.abs(x) + each).sum(-1, keepdims=True) * np.asarray(scale[0]) / 2
    assert (np.abs(y - x @ w) <= bound * 1.001 + 1e-6).all()
    assert not y[1, 2].any()
    assert not y[..., 5].any()


def test_a_model_that_does_not_write_has_nothing_prepared():
    assert not prepared.wanted(nn.Dense(1), "float32")
    with pytest.raises(UserError, match="--weights=int8 is for models that write token by token"):
        prepared.wanted(nn.Dense(1), "int8")
