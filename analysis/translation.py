"""Attention from target to source tokens, in translations the model writes and in pairs it is given.

n or B sentences, S source tokens, T target tokens, H heads.
"""

import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

import tasks
from analysis import attention
from analysis.links import Gold, word_weights
from analysis.subject import Subject, Tokenizer, apply
from errors import UserError
from models.tokens import BOS, PAD
from tasks.translate import shift_right
from training.trees import by_name

ROWS = 16  # of a batch of given pairs
MULTIPLE = 16  # lengths of given pairs are padded to a multiple of this, so that few shapes are compiled
Names = list[list[str]]


def alignment(
    apply: tasks.Apply, source: Int[Array, "B S"], target: Int[Array, "B T"], first: int = BOS
) -> Float[Array, "B T S"]:
    """The weight of each source token for each target token.

    Of a Transformer, the mean over the heads of the last layer but one, which aligns best (1909.02074).

    Args:
      first: what targets begin after.

    Raises:
      UserError: the model has no cross-attention.
    """
    inputs = shift_right(target, (target != PAD).astype(jnp.int32), first)
    _, sown = apply(source, inputs, train=False, mutable="probe")
    probes: dict[str, Array] = by_name(sown.get("probe", {}))
    layers = attention.by_layer(probes, "cross_attention/attention/0") or [
        weights for path, weights in probes.items() if "cross_attention" in path.split("/")
    ]
    if not layers:
        raise UserError("this model has no attention to draw: its decoder sees one fixed vector.")
    weights = layers[max(len(layers) - 2, 0)]
    return weights.mean(1) if weights.ndim == 4 else weights


def written(subject: Subject, texts: Sequence[str]) -> tuple[Float[np.ndarray, "n T S"], Names, Names]:
    """Attention of the translations the model writes, and the tokens of source and target as text."""
    run = subject.run
    batch, notes = run.pipeline.read(texts)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    batch = batch | {"index": np.arange(len(texts), dtype=np.int32)}
    tokens = np.asarray(run.predict_few(subject.variables, batch)["tokens"])
    return aligner(subject)(batch["source"], tokens), *pieces(subject, batch["source"], tokens)


def between_words(subject: Subject, gold: Gold) -> list[Float[np.ndarray, "target_words source_words"]]:
    """Attention between the words of given pairs, whose target the model is fed."""
    weights: list[np.ndarray] = []
    align, pipeline = aligner(subject), subject.pipeline_of_texts
    for start in range(0, len(gold.source), ROWS):
        part = slice(start, start + ROWS)
        source = [tokens_of_words(pipeline.source_tokenizer, words) for words in gold.source[part]]
        target = [tokens_of_words(pipeline.target_tokenizer, words) for words in gold.target[part]]
        rows = align(_padded([ids for ids, _ in source]), _padded([ids for ids, _ in target]))
        for row, (_, source_word), (_, target_word) in zip(rows, source, target, strict=True):
            weights.append(word_weights(row[: len(target_word), : len(source_word)], source_word, target_word))
    return weights


def aligner(
    subject: Subject,
) -> Callable[[Int[np.ndarray, "n S"], Int[np.ndarray, "n T"]], Float[np.ndarray, "n T S"]]:
    """`alignment` of the subject's model, compiled: (source, target) -> float32 weights."""
    model, first = subject.run.model, subject.first
    align = jax.jit(lambda variables, source, target: alignment(apply(model, variables), source, target, first))
    return lambda source, target: np.asarray(align(subject.variables, source, target), np.float32)


def pieces(subject: Subject, source: Int[np.ndarray, "n S"], target: Int[np.ndarray, "n T"]) -> tuple[Names, Names]:
    """The text of each token of source and target, without padding."""

    def texts(entry: str, rows: np.ndarray) -> Names:
        return [subject.run.pipeline.pieces(entry, row[row != PAD]) for row in rows]

    return texts("source", source), texts("target", target)


def tokens_of_words(
    tokenizer: Tokenizer, words: list[str]
) -> tuple[Int[np.ndarray, " tokens"], Int[np.ndarray, " tokens"]]:
    """The tokens of a sentence and, for each, the number of its word; −1 for the end. No token crosses a space."""
    *of_words, end = tokenizer.encode([*words, ""])
    numbers = [number for number, ids in enumerate(of_words) for _ in ids[:-1]]
    return np.concatenate([*(ids[:-1] for ids in of_words), end]), np.array([*numbers, -1])


def _padded(rows: Sequence[np.ndarray]) -> Int[np.ndarray, "n tokens"]:
    """Token ids of several sentences as one array."""
    length = -(-max(map(len, rows)) // MULTIPLE) * MULTIPLE
    return np.stack([np.pad(row, (0, length - len(row)), constant_values=PAD) for row in rows])
