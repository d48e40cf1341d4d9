"""What a model draws of each class, beside the training image that is nearest to it.

C classes, K drawn images of each.
"""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject

CLASSES, EACH = 10, 4  # at most, of the first classes
MOST_COMPARED = 100_000  # training images


def lacks(subject: Subject) -> str:
    """A model that draws no images."""
    return "" if subject.has("time/out/kernel") and subject.has("classes/embedding") else "the model draws no images"


def arrays(subject: Subject) -> Arrays:
    """The drawn images and the nearest training images, as pixels in [0, 1], the names of the classes, and how many
    training images were looked at: all, or the first MOST_COMPARED."""
    run, names = subject.run, subject.run.data.classes[:CLASSES]
    label = np.repeat(np.arange(len(names), dtype=np.int32), EACH)
    batch = {
        "image": np.zeros((len(label), *subject.image_shape), np.float32),
        "label": label,
        "index": np.arange(len(label), dtype=np.int32),
    }
    drawn = np.asarray(run.predict_few(subject.variables, batch)["sample"])
    near, distance, seen = nearest(drawn, subject)
    shape = (len(names), EACH, *subject.image_shape)
    return {
        "drawn": subject.pictures(drawn).reshape(shape),
        "nearest": subject.pictures(near).reshape(shape),
        "distance": distance.reshape(shape[:2]),
        "classes": np.array(names),
        "training_images": np.array(seen),
    }


def nearest(
    drawn: Float[np.ndarray, "n height width channels"], subject: Subject
) -> tuple[Float[np.ndarray, "n height width channels"], Float[np.ndarray, " n"], int]:
    """The training image with the least squared distance of pixels from each, the mean of that over pixels, and how
    many images were looked at."""
    found, least, seen = drawn.copy(), np.full(len(drawn), np.inf), 0
    for batch in subject.run.pipeline.eval_batches(subject.run.pipeline.train_split):
        images = batch["image"][batch["mask"] > 0]
        squares = cdist(drawn.reshape(len(drawn), -1), images.reshape(len(images), -1), "sqeuclidean")
        best: Int[np.ndarray, " n"] = squares.argmin(1)
        nearer = squares.min(1) < least
        found[nearer], least[nearer] = images[best[nearer]], squares.min(1)[nearer]
        seen += len(images)
        if seen >= MOST_COMPARED:
            break
    return found, least / drawn[0].size, seen


def draw(arrays: Arrays) -> Figure:
    """A row for each class: what is drawn, and after it the nearest training images."""
    drawn, near, names = arrays["drawn"], arrays["nearest"], arrays["classes"]
    rows, each = drawn.shape[:2]
    title = f"Drawn, and the nearest of {int(arrays['training_images']):,} training images"
    figure = picture.begin(0.75 * (2 * each + 1) + 1, 0.75 * rows + 0.8, title)
    grid = figure.subplots(rows, 2 * each + 1, squeeze=False)
    for row, name in enumerate(names):
        for column, axes in enumerate(grid[row]):
            axes.set_axis_off()
            if column != each:
                picture.show(axes, drawn[row, column] if column < each else near[row, column - each - 1])
        grid[row][0].text(-0.15, 0.5, picture.literal(name), transform=grid[row][0].transAxes, ha="right", va="center")
    return figure
