"""What each head of self-attention does, as numbers: its mean share on the previous token, the next, the token itself,
the first, and on delimiters; how far it looks, and how widely (1906.04341, section 3).

L layers, H heads, N tokens, M measures.
"""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from analysis import picture, sentences
from analysis.picture import Arrays
from analysis.subject import Subject

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
COLUMNS = 4  # of the picture


def lacks(subject: Subject) -> str:
    """A model without attention between tokens."""
    return subject.lacks_self_attention


def arrays(subject: Subject) -> Arrays:
    """Of each stack, by name, the measures (M, L, H) of its heads and those of uniform attention to what each token may
    see (M,), means over the tokens of all sentences; and the number of sentences."""
    sums: dict[str, list[np.ndarray]] = {}
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
    found: Arrays = {"sentences": np.array(len(rows))}
    for name, (heads, count, uniform) in sums.items():
        found[f"{name}_heads"] = heads / np.maximum(count, 1)[:, None, None]
        found[f"{name}_uniform"] = uniform[:, 0, 0] / np.maximum(count, 1)
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


def draw(arrays: Arrays) -> Figure:
    """For each stack and measure a grid with a row for each layer and a column for each head."""
    names = [key.removesuffix("_heads") for key in arrays if key.endswith("_heads")]
    rows = -(-len(MEASURES) // COLUMNS)
    shapes = [arrays[f"{name}_heads"].shape[1:] for name in names]
    width = COLUMNS * (max(0.42 * heads for _, heads in shapes) + 1.0)
    heights = [rows * (max(0.3 * depth, 0.6) + 0.9) + 0.3 for depth, _ in shapes]
    title = f"What each head does, over {arrays['sentences']} texts"
    figure = picture.begin(max(width, 9), sum(heights) + 0.6, title)
    parts = figure.subfigures(len(names), 1, squeeze=False, height_ratios=heights)
    for part, name, (depth, heads) in zip(parts[:, 0], names, shapes, strict=True):
        part.suptitle(name, fontsize="medium")
        axes = part.subplots(rows, COLUMNS, squeeze=False).flat
        for axis in axes[len(MEASURES) :]:
            axis.set_visible(False)
        measures = zip(axes, MEASURES.values(), arrays[f"{name}_heads"], arrays[f"{name}_uniform"], strict=False)
        for number, (axis, meaning, values, uniform) in enumerate(measures):
            most = 1 if number < SHARES else max(float(values.max()), float(uniform))
            axis.imshow(values, cmap="Blues", vmin=0, vmax=most or 1, aspect="auto")
            axis.set_title(f"{meaning}\n(uniform: {uniform:.2f})", fontsize="small")
            axis.set_xticks(range(heads), [str(head + 1) for head in range(heads)], fontsize="x-small")
            axis.set_yticks(range(depth), [str(layer + 1) for layer in range(depth)], fontsize="x-small")
            axis.tick_params(length=0)
            for (layer, head), value in np.ndenumerate(values):
                color = "white" if value > 0.6 * most else "black"
                axis.text(head, layer, f"{value:.2f}", ha="center", va="center", color=color, fontsize=7)
    figure.supxlabel("head", fontsize="small")
    figure.supylabel("layer", fontsize="small")
    return figure
