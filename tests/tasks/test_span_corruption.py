"""Span corruption: losses against NumPy, and how a filled-in text reads."""

import math
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from models.tokens import BOS, EOS
from tasks.span_corruption import Task

V = 11
TARGET = np.array([[10, 4, 9, 5, EOS], [10, 6, EOS, 0, 0], [0, 0, 0, 0, 0]])


def test_loss_and_accuracy_are_of_every_token_of_the_target():
    logits = np.random.default_rng(0).normal(size=(*TARGET.shape, V)).astype(np.float32)
    seen = []
    batch = {"source": np.ones((3, 7), int), "target": TARGET}
    sums = Task().sums(lambda *given: seen.extend(given) or jnp.asarray(logits), batch, True)
    np.testing.assert_array_equal(seen[1], [[BOS, 10, 4, 9, 5], [BOS, 10, 6, 0, 0], [0] * 5])
    there = TARGET > 0
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    nll = -np.log(np.take_along_axis(probability, TARGET[..., None], -1)[..., 0][there])
    assert float(sums["loss"][0]) == pytest.approx(nll.sum(), rel=1e-5)
    assert float(sums["loss"][1]) == float(sums["accuracy"][1]) == 8
    assert float(sums["accuracy"][0]) == (logits.argmax(-1) == TARGET)[there].sum()
    totals = {"loss": (np.float64(16.0), np.float64(8.0))}
    assert Task().summaries(totals, SimpleNamespace(), "test") == {"perplexity": pytest.approx(math.exp(2))}


def test_an_answer_has_each_span_in_its_place_and_leaves_what_was_not_filled_in():
    texts = {1: "a <extra_id_0> c<extra_id_1> e <extra_id_2>", 2: "<extra_id_0>b<extra_id_1> d<extra_id_0>B"}
    data = SimpleNamespace(decode=lambda ids: texts[int(ids[0])])
    answer = Task().answer({"source": np.array([1]), "tokens": np.array([2])}, data)
    assert answer.text == "a B c d e <extra_id_2>"
    assert answer.data == {"text": answer.text, "spans": {"<extra_id_0>": "B", "<extra_id_1>": " d"}}
