"""Classification: accuracy by class, calibration, and the surest mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analysis.figures import calibration, confusion
from tasks.classify import BINS, Task
from training.evaluate import totals


class Data:
    """Names of classes."""

    classes = ("cat", "dog", "grey owl")


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (n, C), labels and which are no padding."""
    draw = np.random.default_rng(0)
    label = draw.integers(0, 3, 200)
    return draw.normal(size=(200, 3)) * 2 + 2 * np.eye(3)[label], label, (np.arange(200) < 190).astype(np.float32)


def sums(task: Task, logits: np.ndarray, label: np.ndarray, mask: np.ndarray, train: bool = False):
    batch = {"image": jnp.asarray(logits), "label": jnp.asarray(label), "mask": jnp.asarray(mask)}
    return jax.device_get(task.sums(lambda x: x, batch, train))


def test_accuracy_of_each_class_and_calibration_are_those_of_a_direct_computation(scored):
    task = Task(by_class=True)
    parts = [sums(task, *(x[rows] for x in scored)) for rows in (slice(0, 77), slice(77, None))]
    found = task.summaries(totals(parts), Data(), "test")
    logits, label, _ = (x[:190] for x in scored)
    probability = np.asarray(jax.nn.softmax(logits))
    right = probability.argmax(-1) == label
    assert [found[f"accuracy_{name}"] for name in ("cat", "dog", "grey_owl")] == pytest.approx(
        [right[label == i].mean() for i in range(3)]
    )
    confidence, error = probability.max(-1), 0.0
    for b in range(BINS):
        here = (confidence >= b / BINS) & (confidence < (b + 1) / BINS)
        error += abs(right[here].sum() - confidence[here].sum()) / len(label)
    assert found["calibration_error"] == pytest.approx(error, rel=1e-4)
    assert float(calibration.binned(confidence, right)["expected_calibration_error"]) == pytest.approx(error, rel=1e-4)


def test_nothing_more_is_counted_in_training_or_unasked(scored):
    names = {"loss", "nll", "accuracy"}
    assert sums(Task(by_class=True), *scored, train=True).keys() == names
    assert sums(Task(), *scored).keys() == names


def test_confusion_is_that_of_scikit_learn(scored):
    from sklearn import metrics

    logits, label, mask = scored
    found = confusion.confusion(np.where(mask > 0, label, -1), logits.argmax(-1), 3)
    assert (found == metrics.confusion_matrix(label[:190], logits[:190].argmax(-1))).all()


def test_figures_of_a_perfect_and_an_empty_class_can_be_drawn():
    found = np.diag([3, 0, 5])
    arrays = {
        "confusion": found,
        "class_accuracy": np.array([1, np.nan, 1]),
        "classes": np.array(Data.classes),
        "accuracy": np.array(1.0),
    }
    axes = confusion.draw(arrays).axes[0]
    assert [text.get_text() for text in axes.texts] == ["3", "5"]
    sure = calibration.binned(np.array([1.0, 1.0]), np.array([True, True]))
    assert (sure["count"][-1], float(sure["expected_calibration_error"])) == (2, 0.0)
    assert calibration.draw(sure).axes


def test_the_surest_mistakes_are_the_worst_and_what_is_padding_is_none():
    task = Task()
    row = lambda label, *p: {"label": np.int32(label), "probability": np.array(p)}  # noqa: E731
    assert task.error(row(0, 0.7, 0.2, 0.1)) == 0.0
    assert task.error(row(2, 0.7, 0.2, 0.1)) == pytest.approx(0.7)
    assert task.error(row(-1, 0.7, 0.2, 0.1)) is None
    assert task.error({"probability": np.array([1.0])}) is None
    assert task.mistake(row(2, 0.7, 0.2, 0.1), Data()) == "cat (70%) for grey owl"
    assert task.mistake(row(0, 0.7, 0.2, 0.1), Data()) == ""
