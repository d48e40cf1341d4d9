"""What one word of a sentence attends to, as shaded words: a row for each head (1706.03762, figures 3 to 5).

L layers, H heads, N tokens.
"""

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import picture, sentences
from analysis.figures.head_roles import is_delimiter
from analysis.picture import Arrays
from analysis.subject import Subject
from errors import UserError, nearest

HEADS = 32  # rows of the picture; of a model with more heads the mean of each layer's is shown
LETTERS = 110  # of a row
SIZE = 9  # points
REST = "  {:.0%} not shown"  # of a row's attention
NARROWEST = 3.1  # inches of a row


def lacks(subject: Subject) -> str:
    """A model without attention between tokens."""
    return subject.lacks_self_attention


def arrays(subject: Subject) -> Arrays:
    """Weights (L, H, N) of the tokens (N,) for the chosen word, a mean over its own tokens; their places; the stack's
    name."""
    found = sentences.stacks(subject, subject.rows(1)[0])
    stack, place = found[0], last_word(found[0].tokens)
    if subject.word:
        places = [(stack, place) for stack in found if len(place := places_of(subject.word, stack.tokens))]
        if not places:
            words = [picture.spelled(piece).strip() for stack in found for piece in stack.tokens]
            raise UserError(f"--word={subject.word}: the sentence has no such word: {nearest(subject.word, words)}")
        stack, place = places[0]
    return {
        "weights": stack.attention[:, :, place].mean(2),
        "tokens": np.array(stack.tokens),
        "places": place,
        "stack": np.array(stack.name),
    }


def places_of(word: str, tokens: list[str]) -> Int[np.ndarray, " places"]:
    """Where the first tokens stand that spell a word; empty if none do."""
    texts = [picture.spelled(piece).removeprefix("##") for piece in tokens]
    for start in range(len(texts)):
        for end in range(start + 1, len(texts) + 1):
            text = "".join(texts[start:end]).strip()
            if text == word:
                return np.arange(start, end)
            if len(text) >= len(word):
                break
    return np.zeros(0, int)


def last_word(tokens: list[str]) -> Int[np.ndarray, " places"]:
    """Where the tokens of the last word stand; that of the last token where there is none."""
    words = [i for i, piece in enumerate(tokens) if not is_delimiter(piece)]
    if not words:
        return np.array([len(tokens) - 1])
    first = last = words[-1]
    texts = [picture.spelled(piece) for piece in tokens]
    marked = any(text.startswith(" ") for text in texts)  # whether a word's first token has a mark
    while first - 1 in words and not texts[first].startswith(" "):
        if not (marked or texts[first].startswith("##") or len(texts[first]) == 1):
            break
        first -= 1
    return np.arange(first, last + 1)


def draw(arrays: Arrays) -> Figure:
    """The sentence again and again, each token shaded by its weight, the chosen word framed."""
    weights, places = arrays["weights"], arrays["places"]
    depth, heads = weights.shape[:2]
    rows = {f"layer {i + 1}, mean": weights[i].mean(0) for i in range(depth)}
    if depth * heads <= HEADS:
        rows = {f"layer {i + 1}, head {j + 1}": weights[i, j] for i in range(depth) for j in range(heads)}
    pieces = [str(piece) for piece in arrays["tokens"]]
    labels, first, last = window(spaced([picture.spelled(piece) for piece in pieces]), int(places[0]))
    ends = np.cumsum([0, *map(len, labels)])
    letter = 0.62 * SIZE / 72
    word = "".join(picture.spelled(pieces[i]) for i in places).strip()
    title = f'What "{word}" attends to ({arrays["stack"]})'
    if hidden := last - first < len(pieces):
        title += f", tokens {first + 1} to {last} of {len(pieces)}"
    room = max((ends[-1] + len(REST) * hidden) * letter, NARROWEST)
    figure = picture.begin(room + 1.9, 0.26 * len(rows) + 1.0, title)
    axes = figure.subplots()
    for row, shares in enumerate(rows.values()):
        for label, start, end, i in zip(labels, ends, ends[1:], range(first, last), strict=False):
            share = float(shares[i] / max(shares.max(), 1e-9))
            frame = dict(edgecolor="tab:orange", linewidth=1.2, zorder=3) if i in places else dict(edgecolor="none")
            begin = start + (label[:1] == " " and len(label) > 1)
            axes.add_patch(Rectangle((begin, row - 0.45), end - begin, 0.9, facecolor=_blue(share), **frame))
            color = "white" if share > 0.6 else "black"
            text = axes.text(
                begin, row, picture.literal(label[begin - start :]), color=color, va="center_baseline", zorder=4
            )
            text.set(family="monospace", fontsize=SIZE)
        if hidden:
            rest = REST.format(max(0.0, 1 - float(shares[first:last].sum())))
            axes.text(ends[-1], row, rest, color="gray", va="center_baseline", fontsize=SIZE - 1)
    axes.set(xlim=(-0.5, room / letter + 0.5), ylim=(len(rows) - 0.4, -0.6), xticks=[])
    axes.set_yticks(range(len(rows)), list(rows), fontsize=SIZE - 1)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        "each row from 0 (white) to its own largest weight (blue)\nframed: the word itself", fontsize="small"
    )
    return figure


def spaced(labels: list[str]) -> list[str]:
    """Labels with a space before each word: WordPiece marks by ## what goes on, and not what begins."""
    if any(label.startswith(" ") for label in labels) or max(map(len, labels)) == 1:
        return labels
    return [label if i == 0 or label.startswith("##") else f" {label}" for i, label in enumerate(labels)]


def window(labels: list[str], place: int) -> tuple[list[str], int, int]:
    """As many labels about a place as a row holds, and where they begin and end."""
    first, last = place, place + 1
    while True:
        more = [(first - 1, last)] * (first > 0) + [(first, last + 1)] * (last < len(labels))
        more = [(a, b) for a, b in more if sum(map(len, labels[a:b])) <= LETTERS]
        if not more:
            return labels[first:last], first, last
        first, last = min(more, key=lambda ends: abs(ends[0] + ends[1] - 2 * place))


def _blue(share: float) -> tuple[float, float, float]:
    """White for 0, blue for 1."""
    return (1 - 0.9 * share, 1 - 0.65 * share, 1 - 0.3 * share)
