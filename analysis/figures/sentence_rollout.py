"""Attention rollout between the tokens of a sentence, through all layers of a stack (2005.00928, figure 1).

L layers, H heads, N tokens.
"""

import numpy as np
from matplotlib.figure import Figure

from analysis import picture, sentences
from analysis.figures.rollout import rollout
from analysis.picture import Arrays
from analysis.subject import Subject

MOST = 48  # tokens of a map


def lacks(subject: Subject) -> str:
    """A model without attention between tokens."""
    return subject.lacks_self_attention


def arrays(subject: Subject) -> Arrays:
    """Of each stack the share (N, N) of each input token (column) in each output token (row), and the tokens (N,)."""
    found: Arrays = {}
    for stack in sentences.stacks(subject, subject.rows(1)[0]):
        found[f"{stack.name}_rollout"] = rollout(stack.attention[:, None])[0, :MOST, :MOST]
        found[f"{stack.name}_tokens"] = np.array(stack.tokens[:MOST])
        found[f"{stack.name}_length"] = np.array(len(stack.tokens))
    return found


def draw(arrays: Arrays) -> Figure:
    """A map for each stack."""
    names = sentences.names(arrays)
    lengths = [len(arrays[f"{name}_tokens"]) for name in names]
    cell = min(0.28, 9 / max(lengths))
    sides = [max(2.5, cell * length) + 1.2 for length in lengths]
    title = "Attention rollout: the share of each token (column) in each output (row)"
    figure = picture.begin(max(sum(sides), 7.5), max(sides) + 0.8, title)
    grid = figure.subplots(1, len(names), squeeze=False, width_ratios=sides)
    for axes, name in zip(grid[0], names, strict=True):
        tokens = arrays[f"{name}_tokens"]
        shares = arrays[f"{name}_rollout"]
        axes.imshow(shares / shares.max(-1, keepdims=True), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        picture.name_rows(axes, tokens, picture.letters(cell))
        picture.name_columns(axes, tokens, picture.letters(cell))
        axes.set_anchor("N")
        axes.set_title(sentences.title(name, arrays), fontsize="medium")
    figure.supxlabel("each row from 0 (light) to its own largest share (dark)", fontsize="small")
    return figure
