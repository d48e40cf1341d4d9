"""The examples of the evaluation split that the model is most wrong about, as its answers show them.

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

SHOWN = 6


def lacks(subject: Subject) -> str:
    """A task that cannot say how wrong a row is."""
    if not subject.reads_images:
        return "the model reads no images"
    if type(subject.run.task).error is tasks.Task.error:
        return "its task does not say how wrong it is about an example"
    return ""


def arrays(subject: Subject) -> Arrays:
    """Pictures (K, height, width, 3), filled up with white at the right; how wrong, (K,), 0 where nothing is; the
    examples' names (K,)."""
    run, split = subject.run, subject.split
    worst = scoring.worst(run, subject.variables, split, SHOWN)
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
    }


def draw(arrays: Arrays) -> Figure:
    """A row for each example."""
    pictures = arrays["picture"]
    height, width = pictures.shape[1:3]
    figure = picture.begin(7, 0.6 + len(pictures) * (0.3 + 7 * height / width), "The examples with the largest error")
    for axis, one, error, name in zip(
        figure.subplots(len(pictures), 1, squeeze=False)[:, 0],
        pictures,
        arrays["error"],
        arrays["example"],
        strict=True,
    ):
        picture.show(axis, one)
        axis.set_title(f"{error:.3f}  {picture.literal(name)}", fontsize="x-small", loc="left")
    return figure
