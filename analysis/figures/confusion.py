"""What a classifier takes the examples of each class for, on the evaluation split, and how many of each are right.

n examples, C classes.
"""

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject

MOST_NAMED = 40  # classes whose names have room
MOST_WRITTEN = 20  # classes whose counts have room


def lacks(subject: Subject) -> str:
    """A task that does not choose one class of an example."""
    return "" if subject.run.task.chooses else "its task does not choose one class"


def arrays(subject: Subject) -> Arrays:
    """confusion int (C, C), examples of each true class (rows) by predicted class; class_accuracy float (C,), NaN for a
    class that the split lacks; classes (C,); accuracy."""
    classes = np.array(subject.run.data.classes)
    found = np.zeros((len(classes), len(classes)), int)
    for rows in subject.answers():
        found += confusion(rows["label"], rows["probability"].argmax(-1), len(classes))
    count = found.sum(1)
    own = np.where(count > 0, np.diag(found) / np.maximum(count, 1), np.nan)
    accuracy = np.diag(found).sum() / max(found.sum(), 1)
    return {"confusion": found, "class_accuracy": own, "classes": classes, "accuracy": np.array(accuracy)}


def confusion(label: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int) -> Int[np.ndarray, "C C"]:
    """How many of each true class (rows) are taken for each class. A label of −1 is not counted."""
    there = label >= 0
    return np.bincount(label[there] * classes + predicted[there], minlength=classes**2).reshape(classes, classes)


def draw(arrays: Arrays) -> Figure:
    """Shares of each row as shades, counts as numbers, each class's accuracy at the right."""
    found, names = arrays["confusion"], arrays["classes"]
    side = min(10.0, max(3.5, 0.42 * len(names)))
    figure = picture.begin(
        side + 2.2, side + 1.2, f"Accuracy {float(arrays['accuracy']):.1%}: what each class is taken for"
    )
    axes = figure.subplots()
    share = found / np.maximum(found.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= MOST_NAMED:
        labels = [picture.literal(str(name)[:24]) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize="small")
        axes.set_yticks(range(len(names)), labels, fontsize="small")
        right = axes.secondary_yaxis("right")
        own = ["" if np.isnan(x) else f"{x:.0%}" for x in arrays["class_accuracy"]]
        right.set_yticks(range(len(names)), own, fontsize="small")
        right.tick_params(length=0)
    if len(names) <= MOST_WRITTEN:
        for (row, column), count in np.ndenumerate(found):
            if count:
                shade = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize="small", color=shade)
    return figure
