"""Attention from target to source tokens, of models that attend and of those that do not."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from analysis import translation
from analysis.figures import alignment
from analysis.subject import Subject, apply
from errors import UserError
from tasks.translate import shift_right

V = 9
SOURCE = np.array([[5, 6, 3, 0], [7, 3, 0, 0]], np.int32)
TARGET = np.array([[4, 8, 3], [6, 3, 0]], np.int32)
MODELS = {
    "transformer": dict(name="transformer", width=8, depth=3, mlp_dim=16, heads=2, tie="all"),
    "bahdanau": dict(
        name="seq2seq", cell="gru", attention="bahdanau", bidirectional=True, embedding_dim=4, hidden_dim=4
    ),
    "none": dict(name="seq2seq", cell="gru", attention="none", bidirectional=True, embedding_dim=4, hidden_dim=4),
}


def probing(layers: dict):
    """A stand-in for a model with these probes in its decoder, and the inputs it was called with."""
    inputs = []

    def called(*arguments, train, mutable):
        inputs.extend(arguments)
        assert (train, mutable) == (False, "probe")
        return None, {"probe": {"decoder": layers}} if layers else {}

    return called, inputs


def attention(layers: int) -> np.ndarray:
    shape = (layers, len(SOURCE), 2, TARGET.shape[1], SOURCE.shape[1])
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize(("depth", "chosen"), [(1, 0), (2, 0), (3, 1)])
def test_an_alignment_is_the_mean_over_the_heads_of_the_last_layer_but_one(depth, chosen):
    weights = attention(depth)
    sown = [{"cross_attention": {"attention": (w,)}, "self_attention": {"attention": (-w,)}} for w in weights]
    model, inputs = probing({f"block_{number:02}": probes for number, probes in enumerate(sown)})
    np.testing.assert_allclose(translation.alignment(model, SOURCE, TARGET), weights[chosen].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(inputs[1], shift_right(jnp.asarray(TARGET), jnp.asarray(TARGET > 0)))


def test_stacked_layers_are_told_apart():
    weights = attention(3)
    model, _ = probing({"blocks": {"cross_attention": {"attention": (jnp.asarray(weights),)}}})
    np.testing.assert_allclose(translation.alignment(model, SOURCE, TARGET), weights[1].mean(1), rtol=1e-6)


def test_a_decoder_without_attention_is_an_error():
    with pytest.raises(UserError, match="no attention to draw"):
        translation.alignment(probing({})[0], SOURCE, TARGET)


def built(name: str) -> tuple:
    """A model and its abstract parameters."""
    model = models.build(**MODELS[name], outputs=V, source_vocabulary=None)
    init = partial(model.init, train=False)
    return model, jax.eval_shape(init, jax.random.key(0), SOURCE, TARGET)["params"]


@pytest.mark.parametrize("name", ["transformer", "bahdanau"])
def test_rows_of_an_alignment_sum_to_1(name):
    model, shapes = built(name)
    params = jax.tree.map(lambda x: jnp.full(x.shape, 0.1, x.dtype), shapes)
    align = jax.jit(lambda s, t: translation.alignment(apply(model, {"params": params}), s, t))
    weights = align(SOURCE, TARGET)
    assert weights.shape == (2, 3, 4)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(weights[1, :, 2:], 0)  # padding of the source


@pytest.mark.parametrize(
    ("name", "entries", "reason"),
    [
        ("transformer", ("source", "target", "texts"), ""),
        ("bahdanau", ("source", "target", "texts"), ""),
        (
            "none",
            ("source", "target", "texts"),
            "this model has no attention to draw: its decoder sees one fixed vector",
        ),
        ("transformer", ("tokens", "label", "texts"), "the model does not translate"),
        ("transformer", ("source", "target"), "the model does not translate"),  # but fills in
    ],
)
def test_alignment_is_of_models_that_attend_to_a_source(name, entries, reason):
    model, params = built(name)
    spec = {entry: ((1, 8), "int32") for entry in entries if entry != "texts"}
    pipeline = SimpleNamespace(spec=spec, **{"texts": lambda split: []} if "texts" in entries else {})
    run = SimpleNamespace(model=model, pipeline=pipeline, abstract_state=SimpleNamespace(variables={"params": params}))
    assert alignment.lacks(Subject(run=run, restore=dict, load=lambda path: (run, {}))) == reason
