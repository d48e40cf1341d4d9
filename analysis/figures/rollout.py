"""Attention rollout: which patches reach the model's head, through all layers (2005.00928; 2010.11929, figure 6).

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
    """A model without attention between patches."""
    return subject.lacks_patch_attention


def arrays(subject: Subject) -> Arrays:
    """Images, a map (R, C) for each, and the name of the queries."""
    pictures, seen = subject.look(IMAGES)
    read = np.einsum("bq,bqk->bk", seen.reading, rollout(np.asarray(seen.attention)))
    return {"image": pictures, "rollout": attention.patch_maps(read, subject.grid), "query": np.array(subject.query)}


def rollout(attention: Float[np.ndarray, "L B H N N"]) -> Float[np.ndarray, "B N N"]:
    """The share of each input token in each output token, if only attention mixed tokens.

    The product over the layers of A_l = normalised(mean over heads + I), where I stands for the residual connection and
    each row is divided by its sum (2005.00928, section 3).

    Returns:
      A row for each output token, which sums to 1.
    """
    layers = attention.mean(2) + np.eye(attention.shape[-1])
    layers /= layers.sum(-1, keepdims=True)
    total = layers[0]
    for layer in layers[1:]:
        total = layer @ total
    return total


def draw(arrays: Arrays) -> Figure:
    """A row for each image: the image, its map, and both."""
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
