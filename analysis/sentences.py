"""What a model of text does with a sentence: self-attention and the residual stream of each of its stacks of layers.

L layers, H heads, N tokens, D width.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from analysis.attention import SELF, by_layer
from analysis.picture import Arrays
from analysis.subject import Subject
from experiment.probes import CLASS
from models import paths
from models.tokens import PAD
from tasks.translate import shift_right

PADDING = ("<pad>", "[PAD]")  # as tokenizers write it


class Stack(NamedTuple):
    """An encoder or a decoder, and what it did with one sentence.

    Attributes:
      name: its path in the model, "encoder" or "decoder".
      tokens: what it reads, as text.
      attention: float32 weights of all layers; rows are queries and sum to 1.
      outputs: float32, the residual stream after each layer.
    """

    name: str
    tokens: list[str]
    attention: Float[np.ndarray, "L H N N"]
    outputs: Float[np.ndarray, "L N D"]


class Cross(NamedTuple):
    """What a decoder attends to in the sentence that its encoder read.

    Attributes:
      source: what the encoder reads, as text.
      target: what the decoder writes, as text.
      attention: float32 weights of all layers, of each target token (row) to each source token.
    """

    source: list[str]
    target: list[str]
    attention: Float[np.ndarray, "L H T S"]


def stacks(subject: Subject, row: Mapping[str, Int[np.ndarray, " N"]]) -> list[Stack]:
    """What each stack did with one row of `Subject.rows`, without padding.

    A decoder of translations reads its target one place later, after its beginning.
    """
    read, row, probes = _forward(subject, row)
    found = []
    for name, entry in read.items():
        own = {path: x for path, x in probes.items() if (layer := paths.layer(path)) and layer.before == name}
        weights = [x for module in SELF for x in by_layer(own, f"{module}attention/0")]
        if weights:
            learned = [CLASS] * (weights[0].shape[-1] - len(row[entry]))
            tokens = learned + _pieces(subject, entry, row[entry])
            attention, outputs = jax.device_get((jnp.stack(weights)[:, 0], jnp.stack(by_layer(own, "output/0"))[:, 0]))
            n = len(tokens)
            attention, outputs = attention[..., :n, :n].astype(np.float32), outputs[:, :n].astype(np.float32)
            found.append(Stack(name, tokens, attention, outputs))
    return found


def cross(subject: Subject, row: Mapping[str, Int[np.ndarray, " N"]]) -> Cross | None:
    """The attention of the decoder of translations to its source in one row; None of a model without it."""
    if not subject.reads_pairs:
        return None
    _, _, probes = _forward(subject, row)
    layers = by_layer(probes, "cross_attention/attention/0") or [
        x[:, None] for path, x in probes.items() if path.split("/")[-2:] == ["cross_attention", "0"]
    ]
    if not layers:
        return None
    source, target = (_pieces(subject, entry, row[entry]) for entry in ("source", "target"))
    weights = np.asarray(jax.device_get(jnp.stack(layers)[:, 0]), np.float32)
    return Cross(source, target, weights[..., : len(target), : len(source)])


def _forward(
    subject: Subject, row: Mapping[str, Int[np.ndarray, " N"]]
) -> tuple[dict[str, str], Mapping[str, Int[np.ndarray, " N"]], dict[str, jax.Array]]:
    """The entry of a row that each stack reads, the row as they read it, and the probes of the forward pass."""
    read = dict.fromkeys(("encoder", "decoder"), "tokens")
    if subject.reads_pairs:
        target = row["target"][None]
        segment = row["target_segment"][None] if "target_segment" in row else (target != PAD).astype(np.int32)
        row = {**row, "target": np.asarray(shift_right(jnp.asarray(target), jnp.asarray(segment), subject.first))[0]}
        read = {"encoder": "source", "decoder": "target"}
    ids = {name: jnp.asarray(np.maximum(x, 0)[None]) for name, x in row.items()}
    task = subject.run.task
    optional = {name: ids[name] for name in task.optional if name in ids}
    _, probes = subject.probed(*(ids[name] for name in task.inputs), **optional)
    return read, row, probes


def _pieces(subject: Subject, entry: str, ids: Int[np.ndarray, " N"]) -> list[str]:
    """The text of each token, without padding at the end."""
    pieces = subject.run.pipeline.pieces(entry, np.maximum(ids, 0))
    real = [i for i, (piece, id_) in enumerate(zip(pieces, ids, strict=True)) if id_ >= 0 and piece not in PADDING]
    return pieces[: real[-1] + 1 if real else 0]


def cut(stack: Stack, most: int) -> Stack:
    """The first `most` tokens of a sentence that is longer. What they attend to beyond is not shown."""
    attention, outputs = stack.attention[..., :most, :most], stack.outputs[:, :most]
    return Stack(stack.name, stack.tokens[:most], attention, outputs)


def arrays(found: list[Stack], most: int) -> Arrays:
    """The attention (L, H, N, N) and the tokens (N,) of each stack by name, cut to the first `most`; and how many there
    were."""
    arrays: Arrays = {}
    for stack in found:
        shown = cut(stack, most)
        arrays[f"{stack.name}_attention"], arrays[f"{stack.name}_tokens"] = shown.attention, np.array(shown.tokens)
        arrays[f"{stack.name}_length"] = np.array(len(stack.tokens))
    return arrays


def names(arrays: Arrays) -> list[str]:
    """The stacks that `arrays` of a figure are of."""
    return [key.removesuffix("_tokens") for key in arrays if key.endswith("_tokens")]


def title(name: str, arrays: Arrays) -> str:
    """A stack, and what is shown of a sentence that was cut."""
    shown, length = len(arrays[f"{name}_tokens"]), int(arrays[f"{name}_length"])
    return name if shown == length else f"{name}: the first {shown} of {length} tokens"
