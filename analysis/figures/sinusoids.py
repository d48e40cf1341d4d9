"""Sinusoidal position embeddings (1706.03762, section 3.5), and the similarity of any two of them.

N positions, D width.
"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics.pairwise import cosine_similarity

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject
from models import paths
from models.sinusoids import sinusoid_1d


def lacks(subject: Subject) -> str:
    """A model without positions, or with other ones."""
    scheme = getattr(subject.run.model, "positions", None)
    if scheme is None:
        return f"a {subject.name} has no positions"
    return "" if scheme == "sinusoid_1d" else f"its positions are {scheme}"


def arrays(subject: Subject) -> Arrays:
    """As many positions as a sentence may have tokens, or an image patches."""
    length = int(np.prod(subject.grid)) if subject.reads_images else subject.pipeline_of_texts.max_length
    width = subject.weights[f"encoder/{paths.block(0)}/attention_norm/scale"].size
    return positions(length, width)


def positions(length: int, width: int) -> Arrays:
    """The embeddings of the first `length` positions, (N, D), and their cosine similarity, (N, N)."""
    table = sinusoid_1d(length, width)
    return {"positions": table, "similarity": cosine_similarity(table)}


def draw(arrays: Arrays) -> Figure:
    """The embeddings as rows of an image, and the similarity matrix."""
    table, similarity = arrays["positions"], arrays["similarity"]
    figure = picture.begin(12, 4.8, f"Sinusoidal positions: {table.shape[0]} positions of {table.shape[1]} dimensions")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    image = left.imshow(table, vmin=-1, vmax=1, cmap="RdBu_r", aspect="auto", interpolation="nearest")
    left.set(xlabel="dimension (sines are even, cosines odd)", ylabel="position")
    figure.colorbar(image, label="value", ax=left)
    image = right.imshow(similarity, vmin=-1, vmax=1, cmap="viridis", interpolation="nearest")
    right.set(xlabel="position", ylabel="position")
    figure.colorbar(image, label="cosine similarity", ax=right)
    return figure
