"""What each head of the last layer looks at, as DINO draws it: the patches that hold most of its attention (2104.14294,
figures 1 and 4).

B images, H heads, N tokens, R rows and C columns of patches.
"""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from analysis import attention, picture
from analysis.picture import Arrays
from analysis.subject import Subject

IMAGES = 4
MASS = 0.6  # of a head's attention over the patches
SHOWN = 6  # heads, at most


def lacks(subject: Subject) -> str:
    """A model without attention between patches."""
    return subject.lacks_patch_attention


def arrays(subject: Subject) -> Arrays:
    """Images; of each the attention (B, H, R, C) of the last layer's heads over the patches, which sums to 1; which
    patches are the fewest that hold MASS of it; and the name of the queries."""
    pictures, seen = subject.look(IMAGES)
    rows = np.einsum("bq,bhqk->bhk", seen.reading, np.asarray(seen.attention)[-1])
    maps = attention.patch_maps(rows, subject.grid)
    maps = maps / maps.sum((-2, -1), keepdims=True)
    kept = heaviest(maps.reshape(*maps.shape[:2], -1), MASS).reshape(maps.shape)
    return {"image": pictures, "attention": maps, "segment": kept, "query": np.array(subject.query)}


def heaviest(weights: Float[np.ndarray, "*batch N"], mass: float) -> Bool[np.ndarray, "*batch N"]:
    """The fewest of the N whose weights, which sum to 1, have at least this sum: the heaviest ones."""
    order = np.argsort(-weights, axis=-1, kind="stable")
    ordered = np.take_along_axis(weights, order, axis=-1)
    before = np.cumsum(ordered, axis=-1) - ordered
    kept = np.zeros(weights.shape, bool)
    np.put_along_axis(kept, order, before < mass, axis=-1)
    return kept


def draw(arrays: Arrays) -> Figure:
    """A row for each image: the image, the heads' attention together, and each head's segment: what it does not look at
    is dark."""
    images, maps, kept = arrays["image"], arrays["attention"], arrays["segment"]
    heads = min(maps.shape[1], SHOWN)
    title = f"Attention of the last layer: {arrays['query']}"
    figure = picture.begin(1.5 * (heads + 2), 1.55 * len(images) + 0.7, title)
    axes = figure.subplots(len(images), heads + 2, squeeze=False)
    columns = ["input", "mean of heads", *(f"head {i + 1}" for i in range(heads))]
    picture.heading(axes, [""] * len(images), columns)
    for row, image, of_heads, segments in zip(axes, images, maps, kept, strict=True):
        picture.show(row[0], image)
        picture.show_map(row[1], of_heads.mean(0), image.shape)
        scale = [side // places for side, places in zip(image.shape[:2], of_heads.shape[1:], strict=True)]
        for axis, segment in zip(row[2:], segments, strict=False):
            inside = np.kron(segment, np.ones(scale))[..., None] > 0
            picture.show(axis, np.where(inside, 0.2 + 0.8 * image, 0.25 * image))
    figure.supxlabel(f"bright: the patches that hold {MASS:.0%} of a head's attention", fontsize="small")
    return figure
