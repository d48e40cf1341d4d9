"""Labels of words: sums, and entities as CoNLL-2003's conlleval counts them."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from errors import UserError
from tasks.tag import Task, entities

CLASSES = ("B-LOC", "B-PER", "I-PER", "O")
LABEL = np.array([[-1, 1, 2, -1, 3], [0, -1, -1, -1, -1]])


def test_loss_and_accuracy_are_of_words():
    logits = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    batch = {"tokens": np.ones((2, 5), int), "label": LABEL}
    sums = Task().sums(lambda tokens: jnp.asarray(logits), batch, True)
    nll = -np.asarray(jax.nn.log_softmax(logits))[LABEL >= 0, LABEL[LABEL >= 0]]
    assert float(sums["loss"][0]) == pytest.approx(nll.sum(), rel=1e-5)
    assert float(sums["loss"][1]) == float(sums["accuracy"][1]) == 4
    assert float(sums["accuracy"][0]) == (logits.argmax(-1) == LABEL)[LABEL >= 0].sum()
    with pytest.raises(UserError, match="needs logits"):
        Task().sums(lambda tokens: jnp.zeros((2, 4)), batch, True)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("B-PER I-PER O B-LOC", {(0, 2, "PER"), (3, 4, "LOC")}),
        ("B-PER B-PER", {(0, 1, "PER"), (1, 2, "PER")}),
        ("I-PER I-PER I-LOC O I-LOC", {(0, 2, "PER"), (2, 3, "LOC"), (4, 5, "LOC")}),  # IOB1
        ("B-PER I-LOC I-LOC", {(0, 1, "PER"), (1, 3, "LOC")}),
        ("S-LOC B-PER I-PER E-PER E-PER S-LOC", {(0, 1, "LOC"), (1, 4, "PER"), (4, 5, "PER"), (5, 6, "LOC")}),
        ("S-LOC I-LOC", {(0, 1, "LOC"), (1, 2, "LOC")}),
        ("B-A-B I-A-B", {(0, 2, "A-B")}),
        ("O O", set()),
        ("", set()),
    ],
)
def test_spans_are_read_as_conlleval_reads_them(labels, expected):
    assert entities(labels.split()) == expected


def test_f1_is_of_whole_entities_over_all_batches():
    metrics = Task().metrics(SimpleNamespace(classes=CLASSES), "test")
    predicted = np.array([[0, 1, 2, 2, 0], [0, 3, 3, 3, 3]])
    for row in range(2):  # an entity of two words found, and one that is none; then one that is right
        metrics.update({"label": LABEL[[row]], "predicted": predicted[[row]]})
    scores, notes = metrics.compute()
    assert scores == pytest.approx({"precision": 2 / 3, "recall": 1.0, "f1": 0.8})
    assert notes == ["2 entities, 3 found, 2 of them right, whole and of the right kind"]
    assert Task().metrics(SimpleNamespace(classes=("NOUN", "VERB")), "test") is None
    nothing = Task().metrics(SimpleNamespace(classes=CLASSES), "test")
    assert nothing.compute()[0] == {"precision": 0, "recall": 0, "f1": 0}


def test_an_answer_puts_each_word_beside_its_label():
    data = SimpleNamespace(classes=CLASSES, decode=lambda ids: " " + "".join(chr(i) for i in ids if i))
    tokens = np.array([0, ord("A"), ord("d"), ord("B"), 0])
    row = {"tokens": tokens, "label": np.array([-1, 0, -1, 0, -1]), "predicted": np.array([3, 1, 3, 0, 3])}
    answer = Task().answer(row, data)
    assert answer.data == {"words": ["Ad", "B"], "labels": ["B-PER", "B-LOC"]}
    assert answer.text.splitlines()[1].split() == ["B-LOC", "B"]
