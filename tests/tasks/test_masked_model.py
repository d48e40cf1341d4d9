"""Hidden tokens and the next sentence: sums against NumPy, and answers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from tasks.masked_model import Task

B, T, M, V = 3, 6, 2, 7
DRAW = np.random.default_rng(0)
LOGITS, PAIRS = (DRAW.normal(size=shape).astype(np.float32) for shape in ((B, M, V), (B, 2)))
TARGET = np.array([[3, 1], [6, -1], [-1, -1]])
BATCH = {"tokens": np.zeros((B, T), int), "place": np.zeros((B, M), int), "target": TARGET}
NLL = -np.take_along_axis(np.asarray(jax.nn.log_softmax(LOGITS)), np.maximum(TARGET, 0)[..., None], -1)[..., 0]


def test_the_loss_is_of_hidden_tokens_alone():
    seen = []
    batch = BATCH | {"segment": np.ones((B, T), int)}
    sums = Task().sums(lambda *inputs, **options: seen.append((inputs, options)) or jnp.asarray(LOGITS), batch, True)
    assert len(seen[0][0]) == 1
    assert seen[0][1].keys() == {"segment", "place"}
    there = TARGET >= 0
    assert float(sums["loss"][0]) == pytest.approx(NLL[there].sum(), rel=1e-5)
    assert float(sums["loss"][1]) == float(sums["accuracy"][1]) == 3
    assert float(sums["accuracy"][0]) == (LOGITS.argmax(-1) == TARGET)[there].sum()
    totals = {"loss": (np.float64(6.0), np.float64(3.0))}
    assert Task().summaries(totals, None, "") == {"perplexity": pytest.approx(math.exp(2))}


def test_a_pairs_loss_counts_as_often_as_it_has_hidden_tokens():
    batch = BATCH | {"types": np.zeros((B, T), int), "unrelated": np.array([1, 0, -1])}
    sums = Task().sums(lambda *inputs, **options: (jnp.asarray(LOGITS), jnp.asarray(PAIRS)), batch, False)
    pair = -np.asarray(jax.nn.log_softmax(PAIRS))[[0, 1], [1, 0]]
    assert float(sums["nll"][0]) == pytest.approx(NLL[TARGET >= 0].sum(), rel=1e-5)
    assert float(sums["loss"][0]) == pytest.approx(NLL[TARGET >= 0].sum() + 2 * pair[0] + pair[1], rel=1e-5)
    assert float(sums["next_sentence_accuracy"][1]) == 2
    assert float(sums["next_sentence_accuracy"][0]) == (PAIRS[:2].argmax(-1) == [1, 0]).sum()


def test_a_model_of_another_kind_is_named():
    with pytest.raises(UserError, match="needs logits of the hidden tokens of the model, which returns"):
        Task().sums(lambda *inputs, **options: jnp.zeros((B, V)), BATCH, True)


def test_pairs_ask_for_a_model_that_tells_them_apart():
    pairs = BATCH | {"unrelated": jnp.zeros(B, jnp.int32)}
    with pytest.raises(UserError, match=r"set --config\.model\.next_sentence=True"):
        Task().sums(lambda *inputs, **options: jnp.zeros((B, M, V)), pairs, True)


def test_an_answer_names_the_likeliest_tokens_of_each_mask():
    class Data:
        def pieces(self, entry, ids):
            return ["\n" if i == LOGITS[1, 0].argmax() else f"▁w{i}" for i in ids]

        def decode(self, ids):
            return f" w{int(ids[0])}"

    rows = Task().predict(
        lambda tokens, place, train: jnp.asarray(LOGITS), BATCH | {"place": np.array([[1, 3], [2, -1], [1, -1]])}, None
    )
    row = {name: np.asarray(x)[1] for name, x in rows.items()}
    answer = Task().answer(row, Data(), 3)
    (found,) = answer.data["masks"]
    likeliest = np.argsort(-LOGITS[1, 0])[:3].tolist()
    assert [one["token"] for one in found] == ["\n", *(f"▁w{i}" for i in likeliest[1:])]
    assert [one["text"] for one in found] == [f" w{i}" for i in likeliest]
    shown = [line.split()[1] for line in answer.text.splitlines()]
    assert shown == [r'"\n"', *(f'"▁w{i}"' for i in likeliest[1:])]
    assert len(Task().answer({name: np.asarray(x)[0] for name, x in rows.items()}, Data()).data["masks"]) == 2
