"""What images look like as a whole: in colour or not, light on dark or dark on light."""

from collections.abc import Sequence

import numpy as np

from data.order import tensorflow
from data.sources import Source, synthetic

SAMPLE = 32  # images of a split that are looked at
SPREAD = 32  # between the channels of a pixel that is in colour
SHARE = 0.1  # of the pixels of an image that is in colour; of the images that may differ from the others
DARK, LIGHT = 64, 191  # of 255: what a background is below or above


def sample(source: Source) -> list[np.ndarray]:
    """Some images of a source, uint8 (height, width, 3), evenly spread; none of one that cannot be read by index."""
    if not source.random_access or isinstance(source, synthetic.Source):
        return []
    tf = tensorflow()
    from data.images import decode

    raw = source.read(tf.constant(np.unique(np.linspace(0, source.size - 1, SAMPLE).astype(int)), tf.int64))
    if "image" in raw:  # pixels
        return list(decode(raw["image"], 3).numpy())
    found = []
    for row in range(len(next(iter(raw.values())))):
        try:
            example = source.parse(tf.nest.map_structure(lambda x, row=row: x[row], raw))
            found.append(decode(example["image"], 3).numpy())
        except (tf.errors.OpError, ValueError):  # whoever reads all of them names what cannot be read
            continue
    return found


def in_colour(image: np.ndarray) -> bool:
    """Whether an image, uint8 (height, width, 3), loses something when it becomes grey."""
    return bool((np.ptp(image.astype(int), axis=-1) > SPREAD).mean() > SHARE)


def background(images: Sequence[np.ndarray]) -> str:
    """ "dark" or "light" if the edges of nearly all images, uint8 (height, width, channels), are so; else ""."""
    edges = [np.median(np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])) for x in images]
    if not edges:
        return ""
    if np.quantile(edges, 1 - SHARE) < DARK:
        return "dark"
    return "light" if np.quantile(edges, SHARE) > LIGHT else ""
