"""The logit lens: what a model would write if it stopped after each layer (nostalgebraist, 2020): a decoder as the next
token, an encoder of hidden tokens at the same place.

The output layer reads the residual stream after every layer as it reads the last one's.

L layers, N tokens, D width, V vocabulary.
"""

import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from analysis import picture, sentences
from analysis.picture import Arrays
from analysis.sentences import Stack
from analysis.subject import Subject, apply
from training.trees import Variables

MOST = 16  # tokens


def lacks(subject: Subject) -> str:
    """A model that writes no tokens, or whose output layer cannot read between layers."""
    if reason := subject.lacks_self_attention:
        return reason
    writes = subject.run.task.spells and hasattr(subject.run.model, "lens")
    return "" if writes else f"a {subject.name} has no `lens`, or is not trained to write text"


def arrays(subject: Subject) -> Arrays:
    """The tokens (N,) of the decoder, or of the encoder where there is none; after each layer the likeliest token, top
    (L, N), and its probability (L, N)."""
    *_, stack = sentences.stacks(subject, subject.rows(1)[0])
    entry = "target" if subject.reads_pairs else "tokens"
    ids, probability = likeliest(subject, stack)
    top = np.array([subject.run.pipeline.pieces(entry, row) for row in ids])
    shown = sentences.cut(stack, MOST)
    return {
        f"{stack.name}_tokens": np.array(shown.tokens),
        f"{stack.name}_length": np.array(len(stack.tokens)),
        "top": top[:, :MOST],
        "probability": probability[:, :MOST],
    }


def likeliest(subject: Subject, stack: Stack) -> tuple[np.ndarray, Float[np.ndarray, "L N"]]:
    """After each layer, the id int (L, N) and the probability of the likeliest token at each place."""

    @jax.jit
    def read(variables: Variables, outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        probability = jax.nn.softmax(apply(subject.run.model, variables)(outputs, method="lens"))
        return probability.argmax(-1), probability.max(-1)

    ids, probability = jax.device_get(read(subject.variables, stack.outputs))
    return ids, probability


def draw(arrays: Arrays) -> Figure:
    """A table: a column for each token that is read, a row for each layer, the last at the top."""
    (name,) = sentences.names(arrays)
    top, probability, tokens = arrays["top"], arrays["probability"], arrays[f"{name}_tokens"]
    depth, n = top.shape
    longest = max(len(picture.token(piece)) for piece in [*top.flat, *tokens])
    cell = min(max(0.45, 0.09 * longest + 0.15), 1.4)
    size = min(9.0, 72 * (cell - 0.1) / (0.62 * longest))
    title = f"The logit lens: the likeliest token after each layer ({sentences.title(name, arrays)})"
    figure = picture.begin(max(cell * n + 1.9, 7), 0.42 * depth + 1.6, title)
    axes = figure.subplots()
    image = axes.imshow(probability, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    for (layer, place), piece in np.ndenumerate(top):
        share = probability[layer, place]
        color = "white" if share > 0.6 else "black"
        axes.text(place, layer + 0.08, picture.token(piece), ha="center", va="bottom", color=color, fontsize=size)
        axes.text(place, layer - 0.1, f"{share:.0%}", ha="center", va="top", color=color, fontsize=6)
    axes.set_xticks(range(n), [picture.token(piece) for piece in tokens], fontsize=size)
    axes.set_yticks(range(depth), [f"layer {layer + 1}" for layer in range(depth)])
    axes.set_xlabel("token that is read")
    axes.tick_params(length=0)
    figure.colorbar(image, label="probability")
    return figure
