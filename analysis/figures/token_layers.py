"""The class token's attention by layer in several images, averaged over the heads.

L layers, B images, H heads, N tokens, R rows and C columns of patches.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from analysis import attention, picture
from analysis.picture import Arrays
from analysis.subject import Subject

IMAGES = 4


def lacks(subject: Subject) -> str:
    """A model without a class token, or without attention between patches."""
    if reason := subject.lacks_patch_attention:
        return reason
    return "" if subject.extra else f"it has no class token (config.model.head={subject.run.model.head})"


def arrays(subject: Subject) -> Arrays:
    """Images, and a map (R, C) for each layer and image."""
    pictures, seen = subject.look(IMAGES)
    rows = token_attention(np.asarray(seen.attention))
    return {"image": pictures, "attention": attention.patch_maps(rows, subject.grid)}


def token_attention(attention: Float[np.ndarray, "L B H N N"]) -> Float[np.ndarray, "L B N"]:
    """The class token's row of the attention, averaged over the heads."""
    return attention[..., 0, :].mean(2)


def draw(arrays: Arrays) -> Figure:
    """A row for each image: the image, and its map of each layer."""
    images, maps = arrays["image"], arrays["attention"]
    depth = len(maps)
    figure = picture.begin(1.25 * (depth + 1) + 0.4, 1.3 * len(images) + 0.8, "The class token's attention by layer")
    axes = figure.subplots(len(images), depth + 1, squeeze=False)
    picture.heading(axes, [""] * len(images), ["input", *(f"layer {i + 1}" for i in range(depth))])
    for row, image, layers in zip(axes, images, maps.swapaxes(0, 1), strict=True):
        picture.show(row[0], image)
        for axis, layer in zip(row[1:], layers, strict=True):
            picture.show_map(axis, layer, image.shape)
    figure.supxlabel("each map from 0 (dark) to its own largest weight (bright)", fontsize="small")
    return figure
