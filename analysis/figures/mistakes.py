"""The examples of the evaluation split that the model is most wrong about, as its answers show them: of a classifier
its surest mistakes.

K examples.
"""

import numpy as np
from matplotlib.figure import Figure

import tasks
from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject
from errors import UserError
from experiment import scoring

SHOWN = 12
WIDE = 1.5  # times as wide as high: a picture that has a row of its own


def lacks(subject: Subject) -> str:
    """A task that cannot say how wrong a row is."""
    if not (subject.reads_images or subject.reads_clips):
        return "the model reads no images"
    if type(subject.run.task).error is tasks.Task.error:
        return "its task does not say how wrong it is about an example"
    return ""


def arrays(subject: Subject) -> Arrays:
    """Pictures (K, height, width, 3), filled up with white at the right; how wrong, (K,), 0 where nothing is; the
    examples' names (K,) and what is wrong with each (K,)."""
    run, split = subject.run, subject.split
    worst = scoring.worst(run, subject.variables, split, SHOWN)
    worst = [one for one in worst if one[0] > 0] or worst  # where nothing is wrong, what is right
    pictures = [run.task.answer(row, run.data).picture for _, _, row in worst]
    drawn = [one for one in pictures if one is not None]
    if not drawn:
        raise UserError("mistakes: the answers of this run's task have no pictures; evaluate.py --worst=10 names them.")
    shape = np.max([one.shape for one in drawn], axis=0)
    whole = [np.pad(one, [(0, n) for n in shape - one.shape], constant_values=1.0) for one in drawn]
    return {
        "picture": np.stack(whole),
        "error": np.array([error for error, _, _ in worst]),
        "example": np.array([run.pipeline.called(split, index) for _, index, _ in worst]),
        "mistake": np.array([run.task.mistake(row, run.data) for _, _, row in worst]),
    }


def draw(arrays: Arrays) -> Figure:
    """A row for each example; four in a row where pictures are not wide."""
    pictures = arrays["picture"]
    height, width = pictures.shape[1:3]
    columns = 1 if width > WIDE * height else 4
    rows = -(-len(pictures) // columns)
    size = 7 * height / width / columns + (0.3 if columns == 1 else 0.6)
    figure = picture.begin(7, 0.6 + rows * size, "The examples with the largest error")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(pictures) :]:
        axis.set_visible(False)
    names = zip(arrays["error"], arrays["mistake"], arrays["example"], strict=True)
    for axis, one, (error, mistake, name) in zip(axes, pictures, names, strict=False):
        picture.show(axis, one)
        short = str(name) if columns == 1 else "/".join(str(name).split("/")[-2:])[-28:]
        line = f"{mistake}\n{short}" if mistake else f"{error:.3f}  {short}"
        axis.set_title(picture.literal(line), fontsize="x-small", loc="left")
    return figure
