"""The self-attention of every head of every layer in one sentence: a map from each token (row) to each (column).

L layers, H heads, N tokens.
"""

import numpy as np
from matplotlib.figure import Figure, SubFigure

from analysis import picture, sentences
from analysis.picture import Arrays
from analysis.subject import Subject

MOST = 24  # tokens of a map
CELL = 0.1  # inches of a token
WIDEST = 18  # inches of the picture


def lacks(subject: Subject) -> str:
    """A model without attention between tokens."""
    return subject.lacks_self_attention


def arrays(subject: Subject) -> Arrays:
    """Of each stack, "encoder" or "decoder", its attention (L, H, N, N) in one sentence and the tokens (N,)."""
    return sentences.arrays(sentences.stacks(subject, subject.rows(1)[0]), MOST)


def draw(arrays: Arrays) -> Figure:
    """A grid of maps for each stack: a row for each layer, a column for each head."""
    names = sentences.names(arrays)
    sizes = []
    for name in names:
        depth, heads, tokens = arrays[f"{name}_attention"].shape[:3]
        side = _side(tokens, heads)
        longest = max(len(picture.token(piece)) for piece in arrays[f"{name}_tokens"])
        words = longest * picture.letters(side / tokens) * 0.6 / 72
        sizes.append((heads * (side + 0.06) + words + 0.4, depth * (side + 0.06) + words + 0.6))
    width, height = max(width for width, _ in sizes), sum(height for _, height in sizes)
    figure = picture.begin(max(width, 5), height + 0.6, "Self-attention by layer and head")
    parts = figure.subfigures(len(names), 1, squeeze=False, height_ratios=[height for _, height in sizes])
    for part, name in zip(parts[:, 0], names, strict=True):
        _grid(part, name, arrays)
    figure.supxlabel("each map from 0 (light) to 1 (dark); a row is what its token attends to", fontsize="small")
    return figure


def _side(tokens: int, heads: int) -> float:
    """Of a map, in inches."""
    return min(max(1.0, CELL * tokens), max(0.7, (WIDEST - 1) / heads))


def _grid(part: SubFigure, name: str, arrays: Arrays) -> None:
    """The maps of one stack, with words at the left and at the bottom."""
    attention, tokens = arrays[f"{name}_attention"], arrays[f"{name}_tokens"]
    depth, heads = attention.shape[:2]
    axes = part.subplots(depth, heads, squeeze=False)
    part.suptitle(sentences.title(name, arrays), fontsize="medium")
    size = picture.letters(_side(len(tokens), heads) / len(tokens))
    for (layer, head), axis in np.ndenumerate(axes):
        axis.imshow(attention[layer, head], cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("lightgray")
        if head == 0:
            picture.name_rows(axis, tokens, size)
            axis.set_ylabel(f"layer {layer + 1}", fontsize="small")
        if layer == depth - 1:
            picture.name_columns(axis, tokens, size)
        if layer == 0:
            axis.set_title(f"head {head + 1}", fontsize="small")
