"""What an image's classification goes back to: attention rollout (2005.00928; 2010.11929, figure 6).

L layers, B images, H heads, N tokens, R rows and C columns of patches.
"""

import numpy as np
from matplotlib.figure import Figure

from analysis import attention, picture
from analysis.picture import Arrays
from analysis.subject import Subject

IMAGES = 4


def lacks(subject: Subject) -> str:
    return subject.lacks_patch_attention


def arrays(subject: Subject) -> Arrays:
    pictures, seen = subject.look(IMAGES)
    read = np.einsum("bq,bqk->bk", seen.reading, rollout(seen.attention))
    return {"image": pictures, "rollout": attention.patch_maps(read, subject.grid), "query": np.array(subject.query)}


def rollout(attention: np.ndarray) -> np.ndarray:
    """How much of each token of the input is in each token of the output, if attention alone moved it about.

    In each layer the heads' mean is taken, the identity added for the residual connection, and the rows divided by their
    sum; the layers are multiplied (2005.00928, section 3).

    Args:
      attention: (L, B, H, N, N).

    Returns:
      (B, N, N), whose rows sum to 1.
    """
    layers = attention.mean(2) + np.eye(attention.shape[-1])
    layers /= layers.sum(-1, keepdims=True)
    total = layers[0]
    for layer in layers[1:]:
        total = layer @ total
    return total


def draw(arrays: Arrays) -> Figure:
    images, maps = arrays["image"], arrays["rollout"]
    figure = picture.begin(6.6, 2.0 * len(images) + 0.6, f"Attention rollout: {arrays['query']}")
    axes = figure.subplots(len(images), 3, squeeze=False)
    picture.heading(axes, [""] * len(images), ["input", "rollout", "overlay"])
    for row, image, seen in zip(axes, images, maps, strict=True):
        picture.show(row[0], image)
        shown = picture.show_map(row[1], seen, image.shape)
        picture.show(row[2], image)
        picture.show_map(row[2], seen, image.shape, overlay=True)
        figure.colorbar(shown, ax=row[1], label="share of the attention")
    return figure
