"""What each head of self-attention does, as numbers: its mean share on the previous token, the next, the token itself,
the first, and on delimiters; how far it looks, and how widely (1906.04341, section 3).

Of Python's texts also how far it looks in the syntax tree, beside how far it would by position alone: a head that
follows syntax looks nearer.

L layers, H heads, N tokens, M measures.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import picture, sentences, syntax
from analysis.picture import Arrays
from analysis.subject import LONGEST, Subject

SENTENCES = 64
MEASURES = {
    "previous": "share on the previous token",
    "next": "share on the next token",
    "itself": "share on the token itself",
    "first": "share on the first token",
    "delimiters": "share on delimiters",
    "distance": "mean distance, tokens",
    "entropy": "entropy, nats",
}
SHARES = 5  # of the measures, which are between 0 and 1
TREE = ("syntax", "syntax_by_position")  # arrays of heads, of texts in Python
PROGRAMS = 0.25  # the share of the texts that must be Python for them: fewer are where tokens are hidden
COLUMNS = 4  # of the picture


def lacks(subject: Subject) -> str:
    """A model without attention between tokens."""
    return subject.lacks_self_attention


def arrays(subject: Subject) -> Arrays:
    """Of each stack, by name, the measures (M, L, H) of its heads and those of uniform attention to what each token may
    see (M,), means over the tokens of all sentences; and the number of sentences.

    Of texts in Python also syntax and syntax_by_position (L, H), see syntax.of_heads; else `syntax` says why not.
    """
    sums: dict[str, list[np.ndarray]] = {}
    trees: dict[str, list[syntax.Sums]] = {}
    rows = subject.rows(SENTENCES)
    for row in rows:
        for stack in sentences.stacks(subject, row):
            if len(stack.tokens) < 2:
                continue
            delimiter = np.array([is_delimiter(piece) for piece in stack.tokens])
            uniform = (stack.attention.max((0, 1)) > 0).astype(np.float32)[None, None]
            uniform /= np.maximum(uniform.sum(-1, keepdims=True), 1)
            parts = [*measured(stack.attention, delimiter), measured(uniform, delimiter)[0]]
            total = sums.setdefault(stack.name, [np.zeros_like(part) for part in parts])
            for one, part in zip(total, parts, strict=True):
                one += part
            if (apart := syntax.distances(stack.tokens)) is not None:
                trees.setdefault(stack.name, []).append(syntax.measured(stack.attention, apart, LONGEST + 1))
    found: Arrays = {"sentences": np.array(len(rows))} | followed(trees, len(rows))
    for name, (heads, count, uniform) in sums.items():
        found[f"{name}_heads"] = heads / np.maximum(count, 1)[:, None, None]
        found[f"{name}_uniform"] = uniform[:, 0, 0] / np.maximum(count, 1)
    return found


def followed(trees: dict[str, list[syntax.Sums]], texts: int) -> Arrays:
    """The distances of each stack in the syntax trees of enough texts, or why there are none."""
    followed = {name: parts for name, parts in trees.items() if len(parts) >= PROGRAMS * texts}
    if not followed:
        count = max(map(len, trees.values()), default=0)
        return {"syntax": np.array(f"left out: {count} of {texts} texts are lines of Python, whose trees are known")}
    found: Arrays = {"syntax": np.array(f"of lines of Python in {max(map(len, followed.values()))} of {texts}")}
    for name, parts in followed.items():
        both = syntax.of_heads(syntax.Sums(*(np.sum(column, axis=0) for column in zip(*parts, strict=True))))
        found |= {f"{name}_{key}": values for key, values in zip(TREE, both, strict=True)}
    return found


def measured(
    attention: Float[np.ndarray, "L H N N"], delimiter: Bool[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, "M L H"], Float[np.ndarray, " M"]]:
    """The measures summed over the tokens of a sentence that have them, and how many have each.

    The first token has no previous one and its share on the first is not counted; the last has no next one.
    """
    n = attention.shape[-1]
    places = np.arange(n)
    distance = np.abs(places[:, None] - places)
    sums = [
        np.diagonal(attention, -1, -2, -1).sum(-1),
        np.diagonal(attention, 1, -2, -1).sum(-1),
        np.diagonal(attention, 0, -2, -1).sum(-1),
        attention[..., 1:, 0].sum(-1),
        attention[..., delimiter].sum((-2, -1)),
        (attention * distance).sum((-2, -1)),
        -(attention * np.log(np.maximum(attention, 1e-30))).sum((-2, -1)),
    ]
    return np.stack(sums).astype(np.float64), np.array([n - 1, n - 1, n, n - 1, n, n, n], np.float64)


def is_delimiter(piece: str) -> bool:
    """Whether a token holds no letter and no digit, or is a special one such as "</s>"."""
    special = piece[:1] + piece[-1:] in ("<>", "[]") and len(piece) > 2
    return special or not any(map(str.isalnum, piece))


class Grid(NamedTuple):
    """One measure of a stack's heads, as it is drawn."""

    title: str
    values: Float[np.ndarray, "L H"]
    range: tuple[float, float]
    colours: str = "Blues"


def draw(arrays: Arrays) -> Figure:
    """For each stack and measure a grid with a row for each layer and a column for each head."""
    stacks = {name: grids_of(arrays, name) for key in arrays if (name := key.removesuffix("_heads")) != key}
    shapes = [grids[0].values.shape for grids in stacks.values()]
    width = COLUMNS * (max(0.42 * heads for _, heads in shapes) + 1.0)
    rows = [-(-len(grids) // COLUMNS) for grids in stacks.values()]
    heights = [lines * (max(0.3 * depth, 0.6) + 0.9) + 0.3 for lines, (depth, _) in zip(rows, shapes, strict=True)]
    count = int(arrays["sentences"])
    title = f"What each head does, over {count} text{'s' * (count > 1)}"
    figure = picture.begin(max(width, 9), sum(heights) + 0.6, title)
    parts = figure.subfigures(len(stacks), 1, squeeze=False, height_ratios=heights)
    for part, lines, (name, grids) in zip(parts[:, 0], rows, stacks.items(), strict=True):
        part.suptitle(name, fontsize="medium")
        axes = part.subplots(lines, COLUMNS, squeeze=False).flat
        for axis in axes[len(grids) :]:
            axis.set_visible(False)
        for axis, grid in zip(axes, grids, strict=False):
            _show(axis, grid)
    figure.supxlabel("head", fontsize="small")
    figure.supylabel("layer", fontsize="small")
    return figure


def grids_of(arrays: Arrays, name: str) -> list[Grid]:
    """What is drawn of a stack."""
    grids = []
    measures = zip(MEASURES.values(), arrays[f"{name}_heads"], arrays[f"{name}_uniform"], strict=True)
    for number, (meaning, values, uniform) in enumerate(measures):
        if not uniform:
            continue  # what no head can do: a decoder sees no next token
        most = 1 if number < SHARES else max(float(values.max()), float(uniform))
        grids.append(Grid(f"{meaning}\n(uniform: {uniform:.2f})", values, (0, most or 1)))
    if f"{name}_syntax" in arrays:
        apart, by_position = (arrays[f"{name}_{key}"] for key in TREE)
        ratio = apart / np.maximum(by_position, 1e-9)
        most = max(float(np.abs(ratio - 1).max()), 0.1)
        grids += [
            Grid("distance in the syntax tree,\nedges", apart, (0, float(apart.max()) or 1)),
            Grid("the same over what position\nalone gives (< 1: by syntax)", ratio, (1 - most, 1 + most), "RdBu_r"),
        ]
    return grids


def _show(axis: Axes, grid: Grid) -> None:
    """Draws a grid with its numbers."""
    depth, heads = grid.values.shape
    low, high = grid.range
    image = axis.imshow(grid.values, cmap=grid.colours, vmin=low, vmax=high, aspect="auto")
    axis.set_title(grid.title, fontsize="small")
    axis.set_xticks(range(heads), [str(head + 1) for head in range(heads)], fontsize="x-small")
    axis.set_yticks(range(depth), [str(layer + 1) for layer in range(depth)], fontsize="x-small")
    axis.tick_params(length=0)
    for (layer, head), value in np.ndenumerate(grid.values):
        dark = np.mean(image.cmap(image.norm(value))[:3]) < 0.5
        color = "white" if dark else "black"
        axis.text(head, layer, f"{value:.2f}", ha="center", va="center", color=color, fontsize=7)
