"""Which source token a translation looked at: alignment maps (1409.0473, figure 3); and, of sentence pairs whose words were
linked by hand, how often attention links other ones.

n sentences, S source tokens, T target tokens.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import links, picture, translation
from analysis.picture import Arrays
from analysis.subject import Subject
from errors import UserError

SENTENCES = 3  # of the evaluation split, or of the pairs that are linked by hand


def lacks(subject: Subject) -> str:
    task, model, shapes = subject.run.task, subject.run.model, subject.run.pipeline.example
    if not hasattr(task, "alignment"):
        return "the model does not translate"
    token = jax.ShapeDtypeStruct(shapes["source"][0], "int32")
    try:
        params = subject.run.abstract_state.params
        jax.eval_shape(lambda p, s, t: task.alignment(partial(model.apply, {"params": p}), s, t), params, token, token)
    except UserError as error:
        return str(error).rstrip(".")
    return ""


def arrays(subject: Subject) -> Arrays:
    """Of sentence pairs that are linked by hand word by word, with those links; else token by token, of what the model writes."""
    if not (gold := subject.gold):
        return maps(*translation.written(subject, subject.texts(SENTENCES)))
    weights = translation.between_words(subject, gold)
    rate = links.error_rate([links.strongest(w) for w in weights], gold.sure, gold.possible)
    drawn = maps(weights[:SENTENCES], gold.source[:SENTENCES], gold.target[:SENTENCES])
    for name, by_hand in (("sure", gold.sure), ("possible", gold.possible)):
        drawn[name] = np.zeros(drawn["weights"].shape, bool)
        for marked, of_pair in zip(drawn[name], by_hand, strict=False):
            for i, j in of_pair:
                marked[j, i] = True
    return drawn | {"alignment_error_rate": np.array(rate), "pairs": np.array(len(weights))}


def maps(weights: Sequence[np.ndarray] | np.ndarray, source: list[list[str]], target: list[list[str]]) -> Arrays:
    """n maps (T, S) or larger, with the names of their columns and rows, as arrays weights (n, T, S), source (n, S) and
    target (n, T); beyond each sentence 0 and ""."""
    rows, columns = max(map(len, target)), max(map(len, source))
    padded = np.zeros((len(source), rows, columns), np.float32)
    for whole, found, words, written in zip(padded, weights, source, target, strict=True):
        whole[: len(written), : len(words)] = found[: len(written), : len(words)]
    return {"weights": padded, "target": _filled(target, rows), "source": _filled(source, columns)}


def _filled(names: list[list[str]], length: int) -> np.ndarray:
    return np.array([of_one + [""] * (length - len(of_one)) for of_one in names])


def draw(arrays: Arrays) -> Figure:
    sides = zip(arrays["target"], arrays["source"], strict=True)
    lengths = [(int((target != "").sum()), int((source != "").sum())) for target, source in sides]
    title = "What each target token looked at"
    if "alignment_error_rate" in arrays:
        title = (
            f"Attention against links by hand: error rate {arrays['alignment_error_rate']:.1%}, {arrays['pairs']} pairs"
        )
    width, heights = 0.3 * max(s for _, s in lengths) + 3, [0.3 * t + 1.3 for t, _ in lengths]
    figure = picture.begin(max(width, 6), sum(heights) + 0.5, title)
    grid = figure.subplots(len(lengths), 1, squeeze=False, height_ratios=heights)
    for n, (axes, (rows, columns)) in enumerate(zip(grid[:, 0], lengths, strict=True)):
        image = axes.imshow(arrays["weights"][n, :rows, :columns], cmap="gray", vmin=0, vmax=1)
        axes.set_xticks(range(columns), arrays["source"][n, :columns], rotation=90)
        axes.set_yticks(range(rows), arrays["target"][n, :rows])
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set(xlabel="source", ylabel="target", anchor="W")
        if "sure" in arrays:
            _mark(axes, arrays["sure"][n], "sure", "-")
            _mark(axes, arrays["possible"][n] & ~arrays["sure"][n], "possible", ":")
    if "sure" in arrays:
        grid[0, 0].legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="links by hand", frameon=False)
    figure.colorbar(image, ax=list(grid[:, 0]), label="attention", shrink=0.5, panchor=False)
    return figure


def _mark(axes: Axes, marked: np.ndarray, label: str, line: str) -> None:
    """Squares around the links (T, S)."""
    y, x = np.nonzero(marked)
    look: dict[str, Any] = dict(marker="s", s=110, facecolors="none", edgecolors="tab:orange", linewidths=1.6)
    axes.scatter(x, y, label=label, linestyle=line, **look)
