"""Similarity of each patch's position embedding with all others (2010.11929, figure 7 centre).

R rows and C columns of patches, D width, N = R * C.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from sklearn.metrics.pairwise import cosine_similarity

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject
from models.sinusoids import sinusoid_1d, sinusoid_2d


def lacks(subject: Subject) -> str:
    """A model whose patches have no position embeddings."""
    if reason := subject.lacks_patch_attention:
        return reason if not subject.reads_images else f"a {subject.name} has no positions"
    scheme = subject.run.model.positions
    if scheme in ("none", "relative"):
        return f"its patches have no positions of their own (config.model.positions={scheme})"
    return ""


def arrays(subject: Subject) -> Arrays:
    """The similarity of all pairs of positions."""
    rows, columns = subject.grid
    width = subject.weights["embedding/kernel"].shape[-1]
    match subject.run.model.positions:
        case "learned":
            table = subject.weights["positions/embedding"][0, subject.extra :]
        case "learned_2d":
            row, column = (subject.weights[f"positions/{axis}"] for axis in ("row", "column"))
            table = np.concatenate([np.repeat(row, columns, axis=0), np.tile(column, (rows, 1))], axis=1)
        case "sinusoid_1d":
            table = sinusoid_1d(rows * columns, width)
        case _:
            table = sinusoid_2d(rows, columns, width)
    return {"similarity": similarity(table, (rows, columns))}


def similarity(table: Float[np.ndarray, "N D"], grid: tuple[int, int]) -> Float[np.ndarray, "R C R C"]:
    """Cosine similarity of the position embeddings of a grid of patches, given row by row."""
    return cosine_similarity(table).reshape(*grid, *grid)


def draw(arrays: Arrays) -> Figure:
    """A tile for each patch: the similarity of its position with those of the whole grid."""
    similarity = arrays["similarity"]
    rows, columns = similarity.shape[:2]
    figure = picture.begin(7, 6.3 * rows / columns, "Similarity of each patch's position with all others")
    axes = figure.subplots()
    image = axes.imshow(picture.tiles(similarity), vmax=1, cmap="viridis", interpolation="nearest")
    for axis, count in ((axes.xaxis, columns), (axes.yaxis, rows)):
        place = np.arange(0, count, max(1, count // 14))
        axis.set_ticks(place * (count + 1) + (count - 1) / 2, map(str, place + 1))
    axes.set(xlabel="patch column", ylabel="patch row")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, label="cosine similarity", shrink=0.8)
    return figure
