"""The attention of every head of every layer in one image, from the tokens that the model's head reads.

L layers, B images, H heads, N tokens, R rows and C columns of patches.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from analysis import attention, picture
from analysis.picture import Arrays
from analysis.subject import Subject


def lacks(subject: Subject) -> str:
    """A model without attention between patches."""
    return subject.lacks_patch_attention


def arrays(subject: Subject) -> Arrays:
    """One image, a map (R, C) for each layer and head, and the name of the queries."""
    pictures, seen = subject.look(1)
    read = read_by_head(np.asarray(seen.attention), np.asarray(seen.reading))
    maps = attention.patch_maps(read, subject.grid)
    return {"image": pictures[0], "attention": maps[:, 0], "query": np.array(subject.query)}


def read_by_head(
    attention: Float[np.ndarray, "L B H N N"], reading: Float[np.ndarray, "B N"]
) -> Float[np.ndarray, "L B H N"]:
    """The attention of the queries that the model's head reads, weighted by `reading`.

    That is the class token's row, or the mean of all rows if the head reads the tokens' mean.
    """
    return np.einsum("bq,lbhqk->lbhk", reading, attention)


def draw(arrays: Arrays) -> Figure:
    """The image, and a grid of maps: a row for each layer, a column for each head."""
    image, maps = arrays["image"], arrays["attention"]
    depth, heads = maps.shape[:2]
    figure = picture.begin(
        1.1 * heads + 3.2, max(1.15 * depth + 0.7, 3.2), f"Attention by layer and head: {arrays['query']}"
    )
    left, right = figure.subfigures(1, 2, width_ratios=(2, 1.1 * heads + 1), squeeze=False).flat
    axis = left.subplots()
    picture.show(axis, image)
    axis.set_title("input", fontsize="medium")
    axes = right.subplots(depth, heads, squeeze=False)
    names = [f"layer {i + 1}" for i in range(depth)], [f"head {i + 1}" for i in range(heads)]
    picture.heading(axes, *names)
    for axis, seen in zip(axes.flat, maps.reshape(-1, *maps.shape[2:]), strict=True):
        picture.show_map(axis, seen, image.shape)
    right.supxlabel("each map from 0 (dark) to its own largest weight (bright)", fontsize="small")
    return figure
