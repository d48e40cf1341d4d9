"""What each head of each layer looks at in one image, on its way to what is classified.

L layers, B images, H heads, N tokens, R rows and C columns of patches.
"""

import numpy as np
from matplotlib.figure import Figure

from analysis import attention, picture
from analysis.picture import Arrays
from analysis.subject import Subject


def lacks(subject: Subject) -> str:
    return subject.lacks_patch_attention


def arrays(subject: Subject) -> Arrays:
    pictures, seen = subject.look(1)
    maps = attention.patch_maps(read_by_head(seen.attention, seen.reading), subject.grid)
    return {"image": pictures[0], "attention": maps[:, 0], "query": np.array(subject.query)}


def read_by_head(attention: np.ndarray, reading: np.ndarray) -> np.ndarray:
    """Attention (L, B, H, N, N) of the queries that the head reads, weighted by reading (B, N): (L, B, H, N).

    That is the class token's, or the mean over all queries where the tokens' mean is classified.
    """
    return np.einsum("bq,lbhqk->lbhk", reading, attention)


def draw(arrays: Arrays) -> Figure:
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
