"""Whether a classifier is as often right as it says: the reliability diagram and the expected calibration error of
1706.04599, figure 4 and equation 3, on the evaluation split.

n examples, bins of confidence.
"""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from analysis import picture
from analysis.figures import confusion
from analysis.picture import Arrays
from analysis.subject import Subject

BINS = 15  # of the paper


def lacks(subject: Subject) -> str:
    """A task that does not choose one class of an example."""
    return confusion.lacks(subject)


def arrays(subject: Subject) -> Arrays:
    """Of each bin count int, confidence and accuracy float (bins,), NaN where it is empty; accuracy, mean_confidence
    and expected_calibration_error of all."""
    confidence, right = [np.zeros(0)], [np.zeros(0, bool)]
    for rows in subject.answers():
        there = rows["label"] >= 0
        confidence.append(rows["probability"].max(-1)[there].astype(float))
        right.append((rows["probability"].argmax(-1) == rows["label"])[there])
    return binned(np.concatenate(confidence), np.concatenate(right))


def binned(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> Arrays:
    """See `arrays`."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, confidence, BINS) / count
        true = np.bincount(place, right, BINS) / count
    error = np.nansum(np.abs(true - said) * count) / max(count.sum(), 1)
    return {
        "count": count,
        "bin_confidence": said,
        "bin_accuracy": true,
        "accuracy": np.array(right.mean() if len(right) else 0.0),
        "mean_confidence": np.array(confidence.mean() if len(confidence) else 0.0),
        "expected_calibration_error": np.array(error),
    }


def draw(arrays: Arrays) -> Figure:
    """Accuracy by confidence beside the line where both are equal, and how many examples each bin has."""
    error = float(arrays["expected_calibration_error"])
    figure = picture.begin(5.5, 6, f"Expected calibration error {error:.1%}")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middle = (np.arange(BINS) + 0.5) / BINS
    above.bar(middle, np.nan_to_num(arrays["bin_accuracy"]), 1 / BINS, edgecolor="white", label="how often it is right")
    above.plot([0, 1], [0, 1], "--", color="black", linewidth=1, label="as often as it says")
    above.scatter(arrays["bin_confidence"], arrays["bin_accuracy"], s=14, color="black", zorder=3)
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    above.legend(loc="upper left", fontsize="small")
    below.bar(middle, arrays["count"], 1 / BINS, edgecolor="white", color="gray")
    below.set(xlabel="confidence, the probability of the class that it chooses", ylabel="examples")
    return figure
