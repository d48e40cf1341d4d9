"""BLEU by length: which sentences are of a group, and each group's own score."""

from types import SimpleNamespace

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from analysis.figures import bleu_by_length as figure
from errors import UserError


@pytest.mark.parametrize(
    ("lengths", "begins", "ends"),
    [
        ([3] * 20 + [8] * 20 + [12] * 20, [1, 6, 11], [5, 10, 15]),
        ([3] * 20 + [8] * 5 + [12] * 15, [1, 6], [5, 15]),  # too few of 6 to 10 words
        ([3] * 20 + [8] * 20 + [40] * 3, [1, 6], [5, 40]),  # the few longest are in the last group
        ([3] * 4, [1], [3]),  # fewer than a group should have
    ],
)
def test_a_group_has_twenty_sentences_and_every_sentence_a_group(lengths, begins, ends):
    lengths = np.array(lengths)
    found = figure.groups(lengths)
    assert [list(side) for side in found] == [begins, ends]
    assert sum(figure.within(lengths, *group).sum() for group in zip(*found, strict=True)) == len(lengths)


def test_a_run_beside_that_does_not_translate_the_same_is_named():
    with pytest.raises(UserError, match="--with=runs/vit does not translate the sentences"):
        figure.translations(
            SimpleNamespace(pipeline=SimpleNamespace(eval_splits=("test",)), workdir="runs/vit"), {}, [("a", "b")]
        )


def test_a_groups_score_is_sacrebleus_of_its_sentences_alone():
    rng = np.random.default_rng(0)
    references = [" ".join(map(str, rng.integers(10, 99, size))) for size in [5] * 20 + [12] * 20]
    right = references[:20]
    wrong = [" ".join([*text.split()[:8], "1", "2", "3", "4"]) for text in references[20:]]
    lengths = np.array([5] * 20 + [12] * 20)
    begins, ends = figure.groups(lengths)
    bleu, half = figure.of_groups(right + wrong, references, lengths, begins, ends)
    assert bleu[0] == pytest.approx(100)
    assert bleu[1] == pytest.approx(BLEU().corpus_score(wrong, [references[20:]]).score)
    assert half[0] == pytest.approx(0, abs=1e-6)
    arrays = {
        "names": np.array(["a"]),
        "begins": begins,
        "ends": ends,
        "sentences": np.array([20, 20]),
        "bleu": bleu[None],
        "half_interval": half[None],
    }
    (axes,) = figure.draw(arrays).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1-5\n20", "6-15\n20"]
