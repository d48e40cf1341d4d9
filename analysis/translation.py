"""What translations look at, from the model's side: those that it writes, and those that are given.

n sentences, S source tokens, T target tokens.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from analysis.links import Gold, word_weights
from analysis.subject import Subject

ROWS, MULTIPLE = 16, 16  # of a batch of given pairs, and what its lengths are padded to: few shapes are compiled
Names = list[list[str]]


def written(subject: Subject, texts: Sequence[str]) -> tuple[np.ndarray, Names, Names]:
    """Attention (n, T, S) of the translations that the model writes, and the tokens of source and target as text."""
    run = subject.run
    batch, notes = run.pipeline.batch_of(texts)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)

    @jax.jit
    def generate(params: Any, batch: Any) -> jax.Array:
        return run.task.generate(partial(run.model.apply, {"params": params}), batch, jax.random.key(run.seed))

    tokens = np.asarray(generate(subject.params, batch))
    return aligner(subject)(batch["source"], tokens), *pieces(run.pipeline, batch["source"], tokens)


def between_words(subject: Subject, gold: Gold) -> list[np.ndarray]:
    """Attention between the words of given pairs, whose target the model is fed: (target words, source words) each."""
    found: list[np.ndarray] = []
    align, pipeline = aligner(subject), subject.run.pipeline
    for start in range(0, len(gold.source), ROWS):
        part = slice(start, start + ROWS)
        source = [tokens_of_words(pipeline.source_tokenizer, words) for words in gold.source[part]]
        target = [tokens_of_words(pipeline.target_tokenizer, words) for words in gold.target[part]]
        rows = align(_padded([ids for ids, _ in source]), _padded([ids for ids, _ in target]))
        for row, (_, of_source), (_, of_target) in zip(rows, source, target, strict=True):
            found.append(word_weights(row[: len(of_target), : len(of_source)], of_source, of_target))
    return found


def aligner(subject: Subject) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """source (n, S), target (n, T) -> attention when each target token is written, float32 (n, T, S)."""
    task, model = subject.run.task, subject.run.model
    align = jax.jit(lambda p, s, t: task.alignment(partial(model.apply, {"params": p}), s, t))
    return lambda source, target: np.asarray(align(subject.params, source, target), np.float32)


def pieces(pipeline: Any, source: np.ndarray, target: np.ndarray) -> tuple[Names, Names]:
    """What the tokens int (n, S) and (n, T) stand for, padding left out."""
    tokenizers = (pipeline.source_tokenizer, pipeline.target_tokenizer)
    of_source, of_target = (
        [tokenizer.pieces(row[row != 0]) for row in rows]
        for tokenizer, rows in zip(tokenizers, (source, target), strict=True)
    )
    return of_source, of_target


def tokens_of_words(tokenizer: Any, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a sentence with its end, and the word that each is of, -1 for the end: no token crosses a space."""
    *of_words, end = tokenizer.encode([*words, ""])
    numbers = [number for number, ids in enumerate(of_words) for _ in ids[:-1]]
    return np.concatenate([*(ids[:-1] for ids in of_words), end]), np.array([*numbers, -1])


def _padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    length = -(-max(map(len, rows)) // MULTIPLE) * MULTIPLE
    return np.stack([np.pad(row, (0, length - len(row))) for row in rows])
