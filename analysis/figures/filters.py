"""Principal components of the filters of a patch embedding (2010.11929, figure 7 left).

P patch size, D width, K components.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from analysis import picture
from analysis.picture import Arrays
from analysis.subject import Subject

COMPONENTS, COLUMNS = 28, 7


def lacks(subject: Subject) -> str:
    """A model whose patches are not of pixels."""
    if subject.has("stem/.*"):
        return "its patches are of a ResNet's features, not of pixels"
    if not subject.has("embedding/kernel"):
        return f"a {subject.name} has no patches"
    return "" if np.prod(subject.shapes["embedding/kernel"][:3]) > 1 else "its patches are single values"


def arrays(subject: Subject) -> Arrays:
    """The components and the share of the variance of each."""
    components, variance = principal_components(subject.weights["embedding/kernel"])
    return {"components": components, "variance": variance}


def principal_components(
    kernel: Float[np.ndarray, "P_rows P_columns channels D"],
) -> tuple[Float[np.ndarray, "K P_rows P_columns channels"], Float[np.ndarray, " K"]]:
    """The directions in which the D filters of a patch embedding differ most.

    Args:
      kernel: of the embedding.

    Returns:
      The components, unit vectors whose sign means nothing, COMPONENTS of them or as many as there are pixel values or
      filters; and the share of the filters' variance along each.
    """
    filters = kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)
    pca = PCA(min(COMPONENTS, *filters.shape), svd_solver="full").fit(filters)
    return pca.components_.reshape(-1, *kernel.shape[:3]), pca.explained_variance_ratio_


def draw(arrays: Arrays) -> Figure:
    """A tile for each component, with its share of the variance."""
    components, variance = arrays["components"], arrays["variance"]
    count = len(components)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    title = f"Patch-embedding filters: principal components\n({variance.sum():.0%} of the variance)"
    figure = picture.begin(max(1.1 * columns, 6.5), 1.25 * rows + 0.9, title)
    for place, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if place < count:
            picture.show(axis, 0.5 + 0.5 * components[place] / np.abs(components[place]).max())  # zero is grey
            axis.set_title(f"{place + 1}: {variance[place]:.1%}", fontsize="x-small")
        else:
            axis.set_axis_off()
    return figure
