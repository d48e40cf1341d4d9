"""The class maps of Segmenter's mask decoder: products of patches with tokens of classes (2105.05633, figure 2).

B images, K classes that are shown, R rows and C columns of patches.
"""

import numpy as np
from matplotlib.figure import Figure

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject

IMAGES, SHOWN = 3, 5
PROBE = "head/masks/0"


def lacks(subject: Subject) -> str:
    """A model without a mask decoder."""
    if subject.reads_images and subject.has("head/classes"):
        return ""
    return f"a {subject.name} has no mask decoder"


def arrays(subject: Subject) -> Arrays:
    """Images; of each the maps (B, K, R, C) of the classes that it shows most of, between −1 and 1; their names
    (B, K)."""
    images = subject.images(IMAGES)
    logits, probes = subject.probed(images)
    count = np.apply_along_axis(np.bincount, 1, _flat(np.asarray(logits).argmax(-1)), minlength=logits.shape[-1])
    shown = np.argsort(-count, axis=1, kind="stable")[:, :SHOWN]
    masks = np.take_along_axis(np.asarray(probes[PROBE], np.float32), shown[:, None], axis=2)
    assert subject.run.grid
    maps = masks.transpose(0, 2, 1).reshape(*shown.shape, *subject.run.grid)
    return {"image": subject.pictures(images), "maps": maps, "class": np.array(subject.run.data.classes)[shown]}


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def draw(arrays: Arrays) -> Figure:
    """A row for each image: the image, then a map for each class, red where a patch is like the class's token."""
    images, maps, names = arrays["image"], arrays["maps"], arrays["class"]
    count = maps.shape[1]
    figure = picture.begin(1.8 * (count + 1), 1.9 * len(images) + 0.6, "Class maps of the mask decoder")
    axes = figure.subplots(len(images), count + 1, squeeze=False)
    extent = (-0.5, images.shape[2] - 0.5, images.shape[1] - 0.5, -0.5)
    for row, image, of_image, called in zip(axes, images, maps, names, strict=True):
        picture.show(row[0], image)
        for axis, one, name in zip(row[1:], of_image, called, strict=True):
            shown = axis.imshow(one, cmap="coolwarm", vmin=-1, vmax=1, extent=extent)
            picture.bare(axis)
            axis.set_title(picture.literal(name), fontsize="small")
    figure.colorbar(shown, ax=axes, label="cosine of patch and class")
    return figure
