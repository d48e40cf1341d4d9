"""Gradients by time step: the analytic ones of a linear model, what a recurrence forgets and attention does not."""

from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
import tasks
from analysis.figures import gradients
from errors import UserError

B, S, E, C, V = 3, 6, 4, 5, 9
TOKENS = np.array([[3, 1, 4, 1, 5, 3], [2, 6, 5, 3, 0, 0], [7, 3, 0, 0, 0, 0]], np.int32)
REAL = TOKENS > 0
BATCH = {"tokens": TOKENS, "label": np.array([1, 4, 0], np.int32), "mask": np.ones(B, np.float32)}
LONG = {
    "tokens": np.random.default_rng(0).integers(1, V, size=(8, 24)).astype(np.int32),
    "label": np.arange(8, dtype=np.int32) % C,
    "mask": np.ones(8, np.float32),
}


class Linear(nn.Module):
    """The mean of the embedded tokens, and a linear layer."""

    @nn.compact
    def __call__(self, tokens, *, train):
        real = (tokens > 0)[..., None]
        x = nn.Embed(V, E, name="embedding")(tokens)
        return nn.Dense(C, name="head")(x.sum(1, where=real) / real.sum(1))


def run(model: nn.Module, task: str = "classify", **arguments) -> SimpleNamespace:
    """The parts of a run that the figure asks for."""
    return SimpleNamespace(
        model=model, task=tasks.build(task, **arguments or dict(inputs=("tokens",), label_smoothing=0.1))
    )


def analytic(params: dict) -> np.ndarray:
    """(B, S) of Linear: ∂L/∂e_t = W (softmax(logits) - onehot(label)) / length, for every token t of a sentence."""
    embedded, head = params["embedding"]["embedding"][TOKENS], params["head"]
    mean = (embedded * REAL[..., None]).sum(1) / REAL.sum(1, keepdims=True)
    error = np.array(jax.nn.softmax(mean @ head["kernel"] + head["bias"]))
    error[np.arange(B), BATCH["label"]] -= 1
    return np.linalg.norm(error @ head["kernel"].T, axis=1, keepdims=True) / REAL.sum(1, keepdims=True) * REAL


def test_norms_of_a_linear_model_are_the_analytic_ones_averaged_over_long_enough_sentences(filled):
    params = filled(Linear(), TOKENS)["params"]
    norms, each = gradients.norms(run(Linear()), {"params": params}, [BATCH]), analytic(params)
    assert (norms.shape, norms.dtype) == ((S,), np.float32)
    np.testing.assert_allclose(norms, each.sum(0) / REAL.sum(0), rtol=1e-5)


def test_neither_batches_nor_padding_nor_filler_rows_change_the_mean(filled):
    params = filled(Linear(), TOKENS)["params"]
    filler = {"tokens": np.full((1, S), 2), "label": np.zeros(1, np.int32), "mask": np.zeros(1, np.float32)}
    whole = gradients.norms(run(Linear()), {"params": params}, [BATCH])
    short = {name: x[1:, :4] if name == "tokens" else x[1:] for name, x in BATCH.items()}
    first = {name: np.concatenate([x[:1], filler[name]]) for name, x in BATCH.items()}
    wide = {name: np.pad(x, ((0, 0), (0, 2))) if name == "tokens" else x for name, x in first.items()}
    np.testing.assert_allclose(gradients.norms(run(Linear()), {"params": params}, [short, wide]), whole, rtol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_a_recurrence_of_small_weights_forgets_with_distance(filled, cell):
    model = models.build("recurrent", C, vocabulary=V, cell=cell, embedding_dim=E, hidden_dim=8)
    params = jax.tree.map(lambda x: 0.3 * x, filled(model, TOKENS)["params"])
    norms = gradients.norms(run(model), {"params": params}, [LONG])
    assert (np.diff(np.log(norms)) > 0.1).all()  # each token's is at least a tenth above the one before it
    assert norms[0] < 1e-3 * norms[-1]


def test_attention_reaches_the_first_token_as_it_does_the_last():
    model = models.build("classifier", C, vocabulary=V, width=16, depth=2, mlp_dim=32, heads=2, pooling="mean")
    params = jax.jit(lambda: model.init(jax.random.key(0, impl="rbg"), LONG["tokens"], train=False)["params"])()
    norms = gradients.norms(run(model), {"params": params}, [LONG])
    assert 0.1 < norms[0] / norms[-1] < 10
    assert norms.max() < 10 * norms.min()


@pytest.mark.parametrize(
    "arguments",
    [
        dict(name="transformer", width=8, depth=1, mlp_dim=16, heads=2, tie="all"),
        dict(name="seq2seq", cell="gru", attention="bahdanau", bidirectional=True, embedding_dim=4, hidden_dim=4),
    ],
    ids=lambda arguments: arguments["name"],
)
def test_gradients_of_a_model_that_translates_are_by_the_sources_embedding(filled, arguments):
    target = np.array([[2, 3], [3, 0], [5, 3]], np.int32)
    model = models.build(**arguments, outputs=V, source_vocabulary=None)
    params = filled(model, TOKENS, target)["params"]
    batch = {"source": TOKENS, "target": target, "index": np.arange(B)}
    norms = gradients.norms(run(model, "translate", beams=1), {"params": params}, [batch])
    assert norms.shape == (S,)
    assert (norms > 0).all()


def test_a_model_without_tokens_and_a_split_without_sentences_are_errors(filled):
    image = np.zeros((2, 8, 8, 1), np.float32)
    model = models.build("vit", C, width=8, depth=1, mlp_dim=8, heads=1, patch=4)
    batch = {"image": image, "label": np.zeros(2, np.int32), "mask": np.ones(2, np.float32)}
    with pytest.raises(UserError, match="this model embeds no tokens"):
        gradients.norms(run(model, inputs=("image",)), filled(model, image), [batch])
    with pytest.raises(UserError, match="no sentences"):
        gradients.norms(run(Linear()), filled(Linear(), TOKENS), [])


def test_the_picture_has_a_curve_for_each_run():
    table = np.array([[1e-6, 1e-3, 1], [0.5, 0.1, np.nan]], np.float32)
    axes = gradients.draw({"names": np.array(["lstm", "classifier"]), "norms": table}).axes[0]
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lstm", "classifier"]
    np.testing.assert_array_equal([line.get_ydata() for line in axes.lines], table)


def test_embeddings_in_bfloat16_give_norms_in_float32(filled):
    model = models.build("recurrent", C, vocabulary=V, cell="gru", embedding_dim=E, hidden_dim=4, dtype="bfloat16")
    norms = gradients.norms(run(model), filled(model, TOKENS), [BATCH])
    assert norms.dtype == np.float32
    assert jnp.isfinite(norms).all()
