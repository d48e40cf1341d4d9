"""What the class token looks at, layer by layer, in several images: the mean of the heads.

L layers, B images, H heads, N tokens, R rows and C columns of patches.
"""

import numpy as np
from matplotlib.figure import Figure

from analysis import attention, picture
from analysis.picture import Arrays
from analysis.subject import Subject

IMAGES = 4


def lacks(subject: Subject) -> str:
    if reason := subject.lacks_patch_attention:
        return reason
    return "" if subject.extra else f"it has no class token (config.model.head={subject.run.model.head})"


def arrays(subject: Subject) -> Arrays:
    pictures, seen = subject.look(IMAGES)
    return {"image": pictures, "attention": attention.patch_maps(token_attention(seen.attention), subject.grid)}


def token_attention(attention: np.ndarray) -> np.ndarray:
    """The class token's row of attention (L, B, H, N, N), averaged over the heads: (L, B, N)."""
    return attention[..., 0, :].mean(2)


def draw(arrays: Arrays) -> Figure:
    images, maps = arrays["image"], arrays["attention"]
    depth = len(maps)
    figure = picture.begin(1.25 * (depth + 1) + 0.4, 1.3 * len(images) + 0.8, "The class token's attention by layer")
    axes = figure.subplots(len(images), depth + 1, squeeze=False)
    picture.heading(axes, [""] * len(images), ["input", *(f"layer {i + 1}" for i in range(depth))])
    for row, image, seen in zip(axes, images, maps.swapaxes(0, 1), strict=True):
        picture.show(row[0], image)
        for axis, of_layer in zip(row[1:], seen, strict=True):
            picture.show_map(axis, of_layer, image.shape)
    figure.supxlabel("each map from 0 (dark) to its own largest weight (bright)", fontsize="small")
    return figure
