"""Mean attention distance by layer and head (2010.11929, figure 7 right); of a Swin, within its windows.

L layers, B images, H heads, N tokens, R rows and C columns of patches.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from analysis import attention, picture, windows
from analysis.picture import Arrays
from analysis.subject import Subject

IMAGES = 128  # as many as the paper's
IMAGES_OF_WINDOWS = 16  # seen at once


def lacks(subject: Subject) -> str:
    """A model without attention between patches."""
    return subject.lacks_patch_attention if windows.lacks(subject) else ""


def arrays(subject: Subject) -> Arrays:
    """The distance of each head, (L, H), NaN where a layer has fewer heads; that of uniform attention, one number or
    one a layer; the number of images."""
    if not windows.lacks(subject):
        return _in_windows(subject)
    side = subject.image_shape[0] / subject.grid[0]
    images = subject.images(IMAGES)
    seen = attention.passes(subject.model, subject.variables, images)
    distances = [mean_distance(np.asarray(s.attention), subject.grid, side) for s in seen]
    patches = subject.grid[0] * subject.grid[1]
    uniform = mean_distance(np.full((1, 1, 1, patches, patches), 1 / patches), subject.grid, side)
    distance = np.concatenate(distances, axis=1).mean(1)
    return {"distance": distance, "uniform": uniform.squeeze(), "images": np.array(len(images))}


def _in_windows(subject: Subject) -> Arrays:
    images = subject.images(IMAGES_OF_WINDOWS)
    found, uniform = zip(*map(windows.mean_distance, windows.layers(subject, images)), strict=True)
    distance = np.full((len(found), max(map(len, found))), np.nan)
    for layer, heads in zip(distance, found, strict=True):
        layer[: len(heads)] = heads
    return {"distance": distance, "uniform": np.array(uniform), "images": np.array(len(images))}


def mean_distance(
    attention: Float[np.ndarray, "L B H N N"], grid: tuple[int, int], side: float
) -> Float[np.ndarray, "L B H"]:
    """The distance from a patch to the patches it attends to, weighted by attention, averaged over the patches.

    Tokens that are not patches are dropped, as queries and as keys, and each row is normalised again. Else a head would
    seem near only because it attends to the class token.

    Args:
      attention: the last R * C tokens are the patches.
      side: of a patch, in pixels.

    Returns:
      Distances in pixels.
    """
    place = np.indices(grid).reshape(2, -1).T * side
    patches = len(place)
    weights = attention[..., -patches:, -patches:]
    total = np.einsum("...qk,qk->...q", weights, cdist(place, place))
    return (total / np.maximum(weights.sum(-1), 1e-12)).mean(-1)


def draw(arrays: Arrays) -> Figure:
    """A dot for each head over its layer, their mean, and the distance of uniform attention."""
    distance = arrays["distance"]
    depth, heads = distance.shape
    figure = picture.begin(6, 4.5, f"Mean attention distance, over {arrays['images']} images")
    axes = figure.subplots()
    layers = np.arange(1, depth + 1)
    axes.plot(layers, distance, "o", color="tab:blue", markersize=6, alpha=0.6)
    axes.plot(layers, np.nanmean(distance, 1), color="black", linewidth=1, label="mean of the heads")
    uniform = np.broadcast_to(arrays["uniform"], depth)
    ends = layers - 0.5, layers + 0.5
    axes.hlines(uniform, *ends, colors="gray", linewidth=1, linestyles="--", label="all patches alike")
    axes.set(xlabel="layer", ylabel="mean attention distance, pixels", xticks=layers[:: max(1, depth // 16)])
    axes.set_ylim(0, 1.1 * max(np.nanmax(distance), uniform.max()))
    axes.grid(alpha=0.3)
    several = "up to " * bool(np.isnan(distance).any())
    axes.legend(loc="lower right", title=f"{several}{heads} heads, a dot each", frameon=False)
    return figure
