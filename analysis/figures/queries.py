"""Where each query of a detector's decoder looks (2005.12872, figure 6): its attention to the image, by which it finds
the ends of its box.

B images, K queries, S places of all maps, R rows and C columns of the finest map.
"""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject
from training.trees import by_name

IMAGES, QUERIES = 3, 5
ENTRIES = ("query", "box", "score", "label")
PROBE = "cross_attention/attention/0"


def lacks(subject: Subject) -> str:
    """A model without queries that look at an image."""
    if subject.reads_images and subject.has("decoder_block_.*/cross_attention/.*"):
        return ""
    return f"a {subject.name} has no queries that look at an image"


def arrays(subject: Subject) -> Arrays:
    """Images (B, height, width, channels), the likeliest detections' `box` (B, K, 4), `score` (B, K) and `label`
    (B, K), and their queries' `attention` (B, K, R, C) in the decoder's last layer, averaged over heads."""
    batch = _images(subject)
    run = subject.run
    rows = jax.device_get(run.predict_few(subject.variables, batch))
    inputs = [batch[name] for name in run.task.inputs]
    probed = jax.jit(partial(run.model.apply, train=False, mutable="probe"))
    probes = by_name(probed(subject.variables, *inputs)[1]["probe"])
    last = max(path for path in probes if path.startswith("decoder_") and path.endswith(PROBE))
    weights = np.asarray(probes[last], np.float32).mean(1)  # (B, Q, S)
    # A query may be several detections, of different classes: the likeliest of each.
    order = [np.sort(np.unique(query, return_index=True)[1])[:QUERIES] for query in rows["query"]]
    count = min(map(len, order))
    best = np.stack([places[:count] for places in order])
    rows = {name: np.stack([x[places] for x, places in zip(rows[name], best, strict=True)]) for name in ENTRIES}
    weights = np.take_along_axis(weights, rows["query"][..., None], axis=1)
    height, width, _ = subject.image_shape
    sizes = [(-(-height // stride), -(-width // stride)) for stride in sorted(run.model.strides)]
    names = np.array(run.data.classes)
    return {
        "image": np.stack([run.data.picture(image) for image in batch["image"]]),
        "extent": batch["extent"],
        "box": rows["box"],
        "score": rows["score"],
        "label": names[rows["label"]],
        "attention": on_the_finest(weights, sizes),
    }


def on_the_finest(
    weights: Float[np.ndarray, "B K S"], sizes: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "B K R C"]:
    """Attention to all maps as one map: what a place of a coarser map has is spread over the places that it covers.

    Args:
      sizes: rows and columns of each map, the finest first.
    """
    rows, columns = sizes[0]
    total, first = np.zeros((*weights.shape[:2], rows, columns), np.float32), 0
    for r, c in sizes:
        part = weights[..., first : first + r * c].reshape(*weights.shape[:2], r, c)
        first += r * c
        down, right = -(-rows // r), -(-columns // c)
        spread = part.repeat(down, axis=2).repeat(right, axis=3) / (down * right)
        total += spread[..., :rows, :columns]
    return total


def _images(subject: Subject) -> dict[str, np.ndarray]:
    """The user's images, or the first of the evaluation split, as the model is called with them."""
    pipeline = subject.run.pipeline
    if subject.image_files:
        batch, _ = pipeline.read(subject.image_files)
    else:
        batch = next(iter(pipeline.eval_batches(pipeline.eval_splits[0])))
    names = (*subject.run.task.inputs, "size")
    found = {name: np.asarray(batch[name])[:IMAGES] for name in names if name in batch}
    return found | {"index": np.arange(len(found["image"]), dtype=np.int32)}


def draw(arrays: Arrays) -> Figure:
    """A row for each image: the image with its boxes, then where each of their queries looks."""
    images, maps = arrays["image"], arrays["attention"]
    count = maps.shape[1]
    figure = picture.begin(1.7 * (count + 1), 1.9 * len(images) + 0.5, "What each query of the decoder looks at")
    axes = figure.subplots(len(images), count + 1, squeeze=False)
    for row, image, seen, extent, boxes, scores, labels in zip(
        axes, images, maps, *(arrays[name] for name in ("extent", "box", "score", "label")), strict=True
    ):
        picture.show(row[0], image)
        pixels = np.tile(extent * image.shape[:2], 2)
        for axis, one, box, score, label in zip(row[1:], seen, boxes, scores, labels, strict=True):
            picture.show(axis, image)
            picture.show_map(axis, one, image.shape, overlay=True)
            top, left, bottom, right = box * pixels - 0.5
            for where in (row[0], axis):
                where.plot([left, right, right, left, left], [top, top, bottom, bottom, top], linewidth=1.2)
            axis.set_title(picture.literal(f"{label} {score:.0%}"), fontsize="small")
    return figure
