"""Alignment maps: the source tokens each token of a translation attends to (1409.0473, figure 3).

For sentence pairs whose words were linked by hand, also how often attention disagrees with these links.

n sentences, S source tokens, T target tokens.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import links, picture, translation
from analysis.picture import Arrays
from analysis.subject import Subject, apply
from errors import UserError
from training.trees import Variables

CELL, WIDEST = 0.3, 15  # inches of a token, and of the maps: those of long sentences have smaller tokens
MOST = 100  # tokens of a side
SENTENCES = 3  # of the evaluation split, or of the pairs that are linked by hand


def lacks(subject: Subject) -> str:
    """A model that does not translate, or whose decoder attends to nothing."""
    if not subject.translates:
        return "the model does not translate"
    run = subject.run
    tokens = jax.ShapeDtypeStruct((1, run.pipeline.spec["source"][0][-1]), "int32")

    def align(variables: Variables, source: Int[jax.Array, "1 S"], target: Int[jax.Array, "1 S"]) -> jax.Array:
        return translation.alignment(apply(run.model, variables), source, target)

    try:
        jax.eval_shape(align, run.abstract_state.variables, tokens, tokens)
    except UserError as error:
        return str(error).rstrip(".")
    return ""


def arrays(subject: Subject) -> Arrays:
    """Maps of the user's linked pairs by words, with the links; else of the model's translations by tokens."""
    if not (gold := subject.gold):
        return maps(*translation.written(subject, subject.texts(SENTENCES)))
    weights = translation.between_words(subject, gold)
    rate = links.error_rate([links.strongest(w) for w in weights], gold.sure, gold.possible)
    drawn = maps(weights[:SENTENCES], gold.source[:SENTENCES], gold.target[:SENTENCES])
    for name, by_hand in (("sure", gold.sure), ("possible", gold.possible)):
        drawn[name] = np.zeros(drawn["weights"].shape, bool)
        for marked, pair in zip(drawn[name], by_hand, strict=False):
            for i, j in pair:
                marked[j, i] = True
    return drawn | {"alignment_error_rate": np.array(rate), "pairs": np.array(len(weights))}


def maps(
    weights: Sequence[Float[np.ndarray, "_T _S"]] | Float[np.ndarray, "n T S"],
    source: list[list[str]],
    target: list[list[str]],
) -> Arrays:
    """Alignment maps of several sentences, padded to the longest with 0 and "".

    Args:
      weights: a map for each sentence, at least as large as its tokens.
      source, target: the tokens' text, which names columns and rows.

    Returns:
      weights (n, T, S), source (n, S) and target (n, T).
    """
    rows, columns = max(map(len, target)), max(map(len, source))
    padded = np.zeros((len(source), rows, columns), np.float32)
    for out, values, source_tokens, target_tokens in zip(padded, weights, source, target, strict=True):
        place = slice(len(target_tokens)), slice(len(source_tokens))
        out[place] = values[place]
    return {"weights": padded, "target": _padded(target, rows), "source": _padded(source, columns)}


def _padded(names: list[list[str]], length: int) -> np.ndarray:
    """Names as an array of strings (n, length)."""
    return np.array([row + [""] * (length - len(row)) for row in names])


def draw(arrays: Arrays) -> Figure:
    """A map for each sentence, of its first MOST tokens, and squares around the links by hand."""
    sides = zip(arrays["target"], arrays["source"], strict=True)
    whole = [(int((target != "").sum()), int((source != "").sum())) for target, source in sides]
    lengths = [(min(rows, MOST), min(columns, MOST)) for rows, columns in whole]
    title = "What each target token attends to"
    if "alignment_error_rate" in arrays:
        rate, pairs = arrays["alignment_error_rate"], arrays["pairs"]
        title = f"Attention against links by hand: error rate {rate:.1%}, {pairs} pairs"
    cell = min(CELL, WIDEST / max(map(max, lengths)))
    width, heights = cell * max(s for _, s in lengths) + 3, [cell * t + 1.3 for t, _ in lengths]
    figure = picture.begin(max(width, 6), sum(heights) + 0.5, title)
    grid = figure.subplots(len(lengths), 1, squeeze=False, height_ratios=heights)
    for n, (axes, (rows, columns)) in enumerate(zip(grid[:, 0], lengths, strict=True)):
        image = axes.imshow(arrays["weights"][n, :rows, :columns], cmap="gray", vmin=0, vmax=1)
        picture.name_columns(axes, arrays["source"][n, :columns], picture.letters(cell), top=True)
        picture.name_rows(axes, arrays["target"][n, :rows], picture.letters(cell))
        if lengths[n] != whole[n]:
            axes.set_title(f"the first {rows} x {columns} of {whole[n][0]} x {whole[n][1]} tokens", fontsize="small")
        axes.set(xlabel="source", ylabel="target", anchor="W")
        if "sure" in arrays:
            sure, possible = (arrays[name][n, :rows, :columns] for name in ("sure", "possible"))
            _mark(axes, sure, "sure", "-", cell)
            _mark(axes, possible & ~sure, "possible", ":", cell)
    if "sure" in arrays:
        grid[0, 0].legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="links by hand", frameon=False)
    figure.colorbar(image, ax=list(grid[:, 0]), label="attention", shrink=0.5, panchor=False)
    return figure


def _mark(axes: Axes, links: Bool[np.ndarray, "T S"], label: str, line: str, cell: float) -> None:
    """Draws squares around links. cell: inches of a token."""
    y, x = np.nonzero(links)
    squares = axes.scatter(x, y, s=110 * (cell / CELL) ** 2, marker="s", linewidths=1.6, label=label, linestyle=line)
    squares.set(facecolors="none", edgecolors="tab:orange")
