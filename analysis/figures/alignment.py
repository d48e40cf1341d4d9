"""Which source token a translation looked at: the alignment map of 1409.0473, figure 3.

S source tokens, T target tokens.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def draw(weights: np.ndarray, source: list[str], target: list[str], path: Path) -> None:
    """Writes the picture of weights (T, S), and beside it the array and the tokens as .npz."""
    figure, axes = plt.subplots(figsize=(1.5 + 0.35 * len(source), 1.5 + 0.3 * len(target)), layout="constrained")
    image = axes.imshow(weights, cmap="gray", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), source, rotation=90)
    axes.set_yticks(range(len(target)), target)
    axes.xaxis.tick_top()
    figure.colorbar(image, label="attention", shrink=0.6)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    np.savez(path.with_suffix(".npz"), weights=weights, source=np.array(source), target=np.array(target))
