"""Skip-gram with negative sampling against loops: pairs, draws, scores and nearest words."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from models.tokens import EOS
from tasks.skip_gram import Task

V, D, W, K = 12, 6, 2, 3
TOKENS = np.array([[5, 6, 7, 8, 5, 3, 0, 0], [9, 10, 3, 0, 0, 0, 0, 0], [0] * 8], np.int32)


def skip_gram(**arguments):
    return models.build("skip_gram", 2, **dict(vocabulary=V, width=D, window=W, negatives=K, subsample=1.0) | arguments)


@pytest.fixture(scope="module")
def variables():
    draw = np.random.default_rng(0)
    params = {name: {"embedding": draw.normal(size=(V, D)).astype(np.float32)} for name in ("embedding", "context")}
    return {"params": params, "counts": {"words": np.arange(V, dtype=np.float32)}}


def test_pairs_are_the_words_within_the_window_and_loss_that_of_equation_4(variables):
    model = skip_gram()
    run = jax.jit(functools.partial(model.apply, train=False))
    positive, negative, pairs = run(variables, TOKENS, np.arange(3))
    np.testing.assert_array_equal(run(variables, TOKENS[1:2], np.array([1]))[1][0], negative[1])  # whatever the batch
    v, u = (np.float64(variables["params"][name]["embedding"]) for name in ("embedding", "context"))
    offsets = [-2, -1, 1, 2]
    loss = count = right = 0
    for b, s in zip(*np.nonzero(TOKENS > EOS), strict=True):
        for w, offset in enumerate(offsets):
            there = 0 <= s + offset < 8 and TOKENS[b, s + offset] > EOS
            assert pairs[b, s, w] == there
            if there:
                score = v[TOKENS[b, s]] @ u[TOKENS[b, s + offset]]
                assert positive[b, s, w] == pytest.approx(score, rel=1e-4, abs=1e-5)
                others = np.float64(negative[b, s])
                loss += np.log1p(np.exp(-score)) + np.log1p(np.exp(others)).sum()
                right += positive[b, s, w] > negative[b, s].max()
                count += 1
    assert pairs.sum() == count
    batch = {"tokens": TOKENS, "index": np.arange(3)}
    sums = Task().sums(functools.partial(run, variables), batch, train=False)
    np.testing.assert_allclose(sums["loss"], (loss, count), rtol=1e-5)
    np.testing.assert_allclose(sums["accuracy"], (right, count))


def test_negatives_are_drawn_by_frequency_to_three_quarters_and_frequent_words_are_left_out(variables):
    model, many = skip_gram(negatives=200, subsample=0.04), np.tile(TOKENS[:2], (200, 1))
    key = jax.random.key(1)
    bound = model.bind(variables)
    kept, reach, drawn = bound.draw(key, jnp.asarray(many), jnp.asarray(variables["counts"]["words"]))
    expected = np.arange(V) ** 0.75
    found = np.bincount(np.asarray(drawn).ravel(), minlength=V) / drawn.size
    np.testing.assert_allclose(found, expected / expected.sum(), atol=5e-3)
    assert [round(float((reach == r).mean()), 1) for r in (1, 2)] == [0.5, 0.5]
    for word in (5, 10):
        chance = min(1, np.sqrt(0.04 / (word / np.arange(V).sum())))
        assert np.asarray(kept)[many == word].mean() == pytest.approx(chance, abs=0.06)


def test_training_counts_the_words_and_evaluation_does_not():
    model = skip_gram()
    variables = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, TOKENS, train=False)
    assert not variables["counts"]["words"].any()
    assert not variables["params"]["context"]["embedding"].any()
    assert np.abs(variables["params"]["embedding"]["embedding"]).max() <= 0.5 / D
    (_, _, pairs), changed = model.apply(
        variables, TOKENS, train=True, rngs={"dropout": jax.random.key(2)}, mutable=["counts"]
    )
    expected = np.bincount(TOKENS[TOKENS > EOS], minlength=V)
    np.testing.assert_array_equal(changed["counts"]["words"], expected)
    assert pairs.any()
    assert not pairs[TOKENS <= EOS].any()


def test_the_nearest_words_are_named_and_never_the_given_ones(variables):
    table = variables["params"]["embedding"]["embedding"]
    table = table / np.linalg.norm(table, axis=-1, keepdims=True)
    tokens = jnp.asarray([[5, 6, EOS, 0]])
    rows = Task().predict(functools.partial(skip_gram().apply, variables), {"tokens": tokens}, jax.random.key(0))
    both = table[[5, 6]].sum(0)
    np.testing.assert_allclose(rows["similarity"][0], table @ both / np.linalg.norm(both), rtol=1e-4, atol=1e-5)
    row = {name: np.asarray(x[0]) for name, x in rows.items()}
    answer = Task().answer(row, SimpleNamespace(decode=lambda ids: f"w{ids[0]}"), most=3)
    order = [i for i in np.argsort(-row["similarity"]) if i > EOS and i not in (5, 6)][:3]
    assert [one["word"] for one in answer.data["nearest"]] == [f"w{i}" for i in order]
    assert answer.text.splitlines()[0].split() == [f"{row['similarity'][order[0]]:.3f}", f"w{order[0]}"]
