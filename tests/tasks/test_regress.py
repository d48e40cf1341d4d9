"""A number for each example: the loss of the standardised number, metrics in its own unit, and what cannot be."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from errors import UserError
from tasks.regress import Task

DATA = SimpleNamespace(moments=(10.0, 4.0))
PREDICTED, TARGET, MASK = np.array([0.5, -1.0, 2.0, 9.0]), np.array([0.0, -1.0, 1.0, 0.0]), np.array([1.0, 1, 1, 0])


def test_the_loss_is_the_squared_error_and_rmse_is_in_the_numbers_unit():
    batch = {"tokens": np.zeros((4, 2), int), "types": np.zeros((4, 2), int), "target": TARGET, "mask": MASK}
    seen = []
    task = Task(inputs=("tokens", "types"))
    sums = task.sums(lambda *inputs: seen.append(inputs) or jnp.asarray(PREDICTED)[:, None], batch, True)
    assert len(seen[0]) == 2
    assert [float(x) for x in sums["loss"]] == pytest.approx([1.25, 3])
    totals = {"loss": (np.float64(1.25), np.float64(3.0))}
    assert task.summaries(totals, DATA, "test") == {"rmse": pytest.approx(4 * np.sqrt(1.25 / 3))}
    with pytest.raises(UserError, match="one number for each example"):
        task.sums(lambda *inputs: jnp.zeros((4, 2)), batch, True)


def test_correlations_are_of_the_whole_split():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=20), draw.normal(size=20)
    metrics = Task().metrics(DATA, "test")
    for part in (slice(0, 7), slice(7, 20)):
        metrics.update({"standardised": x[part], "target": y[part]})
    expected = {"pearson": stats.pearsonr(x, y)[0], "spearman": stats.spearmanr(x, y)[0]}
    assert metrics.compute() == (pytest.approx(expected), [])
    alike = Task().metrics(DATA, "test")
    alike.update({"standardised": np.ones(9), "target": y[:9]})
    scores, notes = alike.compute()
    assert (scores, len(notes)) == ({}, 1)


def test_an_answer_is_in_the_numbers_unit():
    rows = Task().predict(lambda tokens, train: jnp.asarray(PREDICTED)[:, None], {"tokens": np.zeros((4, 2))}, None)
    answer = Task().answer({name: np.asarray(x)[0] for name, x in rows.items()}, DATA)
    assert answer.data == {"number": 12.0}
    assert answer.text == "  12"


def test_classes_are_not_numbers():
    with pytest.raises(UserError, match=r"predicts one number, and the data have 3 classes: set --config.data.numbers"):
        Task().check(3)
