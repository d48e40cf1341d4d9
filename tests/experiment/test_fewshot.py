import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from errors import UserError
from experiment import fewshot

CLASSES, WIDTH = 7, 24


@pytest.fixture(scope="module")
def examples():
    """Seven classes that overlap: 210 training and 300 test examples of features of very different scales."""
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(CLASSES, WIDTH))
    scale = np.exp(chance.normal(size=WIDTH))

    def some(count):
        labels = np.arange(count) % CLASSES
        return ((centres[labels] + 1.5 * chance.normal(size=(count, WIDTH))) * scale).astype(np.float32), labels

    return some(210), some(300)


@pytest.mark.parametrize("l2", [0.1, 10.0, 1024.0])
@pytest.mark.parametrize("count", [14, 210])
def test_the_classifier_is_scikit_learns_ridge(examples, l2, count):
    (features, labels), (test, truth) = examples
    features, labels = features[:count], labels[:count]
    ours = fewshot.ridge(features, labels, np.array([l2], np.float32), CLASSES)
    scaler = StandardScaler().fit(features)
    theirs = Ridge(l2).fit(scaler.transform(features), 2 * np.eye(CLASSES)[labels] - 1)
    np.testing.assert_allclose(ours["w"][0], theirs.coef_.T, atol=1e-4)
    np.testing.assert_allclose(ours["intercept"], theirs.intercept_, atol=1e-4)
    right = theirs.predict(scaler.transform(test)).argmax(1) == truth
    assert float(fewshot.accuracies(ours, test, truth)[0]) == pytest.approx(right.mean(), abs=1e-6)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_neighbours_are_scikit_learns(examples, k):
    (features, labels), (test, _) = examples
    weights = lambda distance: np.exp((1 - distance) / fewshot.TEMPERATURE)  # noqa: E731
    theirs = KNeighborsClassifier(k, weights=weights, metric="cosine", algorithm="brute").fit(features, labels)
    np.testing.assert_array_equal(fewshot.neighbours(features, labels, test, k), theirs.predict(test))


def test_scores_rise_with_shots_and_say_how_much_they_spread(examples):
    figures, notes = fewshot.Fewshot(shots=(1, 25), neighbours=(10,)).scores(*examples)
    assert set(figures) == {"1_shot", "25_shot", "10_nn"}
    assert 1 / CLASSES < figures["1_shot"] < figures["25_shot"] - 0.1
    assert any("25-shot linear" in note and " ± " in note and "3 draws, l2 = " in note for note in notes)


def test_what_is_drawn_is_even_and_the_same_again(examples):
    (features, labels), test = examples
    drawn = fewshot.draw(labels, 4, CLASSES)
    assert np.bincount(labels[drawn]).tolist() == [4] * CLASSES
    one = fewshot.Fewshot(shots=(1,), seeds=1).scores((features, labels), test)[0]
    assert one == fewshot.Fewshot(shots=(1,), seeds=1).scores((features, labels), test)[0]


def test_a_linear_probe_sees_all_examples_and_not_their_scale(examples):
    train, test = examples
    figures, notes = fewshot.Fewshot(linear=True).scores(train, test)
    assert figures["linear"] > fewshot.Fewshot(shots=(1,)).scores(train, test)[0]["1_shot"]
    assert notes == [f"linear, all 210 examples: {100 * figures['linear']:.2f} %"]
    scaled = [(1000 * features, labels) for features, labels in examples]
    assert fewshot.linear_probe(*scaled) == pytest.approx(figures["linear"], abs=0.01)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (dict(shots=(31,)), "class 0 has 30 training examples, not 31"),
        (dict(neighbours=(211,)), "211 are more than the 210 examples"),
    ],
)
def test_more_than_there_is_cannot_be_asked_for(examples, settings, line):
    with pytest.raises(UserError, match=line):
        fewshot.Fewshot(**settings).scores(*examples)
