"""What the pipelines of sentences share: tokenizers that stay with a run, sentences that are too long, and batches.

n sentences, b this host's rows of a batch, S its padded length.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.buckets import Buckets
from data.order import graph, options, tensorflow
from data.tokenizer import UNKNOWN, Tokenizer
from errors import UserError

Ids = list[np.ndarray]
Shapes = dict[str, tuple[tuple[int, ...], str]]


def learn(texts: Iterable[str], settings: dict[str, Any]) -> Tokenizer:
    """A tokenizer of these texts; `settings` are Tokenizer.train's. Errors speak of the keys of config.data."""
    if not 0.98 <= settings["coverage"] <= 1:  # sentencepiece's own limits
        raise UserError(f"config.data.coverage={settings['coverage']} must be at least 0.98 and at most 1.")
    try:
        return Tokenizer.train(texts, **settings)
    except UserError as error:
        message = re.sub(r"\bsize=", "config.data.vocabulary_size=", str(error))
        raise UserError(re.sub(r"\bcoverage\b", "config.data.coverage", message)) from None


def load(digests: dict[str, str], folder: Path) -> tuple[Tokenizer, ...]:
    """The tokenizers that a run was trained with, from its workdir. digests: of each, by its file's name."""
    found = []
    for name, digest in digests.items():
        if not re.fullmatch(r"tokenizer(\.[^/\\]+)?\.model", name):
            raise UserError(
                f"the config.json in {folder} names a tokenizer outside that folder, {name}: do not trust it."
            )
        try:
            tokenizer = Tokenizer((folder / name).read_bytes())
        except FileNotFoundError:
            raise UserError(
                f"{folder} has lost its {name}: put it back; the weights mean nothing without it."
            ) from None
        if tokenizer.digest != digest:
            raise UserError(
                f"{folder / name} is not the tokenizer that this run was trained with ({tokenizer.digest} there, {digest} "
                "in config.json): put the right one back."
            )
        found.append(tokenizer)
    return tuple(found)


def cut(ids: Ids, most: int) -> Ids:
    """The first `most` ids of each sentence, the last of which stays EOS."""
    return [i if len(i) <= most else np.append(i[: most - 1], i[-1:]) for i in ids]


def notes(ids: Ids, most: int, what: str) -> list[str]:
    """Lines on what the model will not see of these sentences: unknown tokens, and what is beyond the first `most`."""
    found = []
    if unknown := sum(int((i == UNKNOWN).sum()) for i in ids):
        found.append(f"{what}: {unknown:,} tokens that are not in the vocabulary.")
    if long := sum(len(i) > most for i in ids):
        found.append(f"{what}: {long:,} sentences cut to max_length={most} tokens.")
    return found


def shapes(plan: Buckets, example: Shapes) -> list[tuple[float, Shapes]]:
    """Every shape of a global batch, with its share of an epoch's batches; `example` is one of one row."""
    return [
        (batches / plan.steps, {name: ((rows, length)[: len(shape)], kind) for name, (shape, kind) in example.items()})
        for batches, rows, length in zip(plan.batches.tolist(), plan.rows.tolist(), plan.bounds.tolist(), strict=True)
        if batches
    ]


def batches(
    plan: Buckets, columns: dict[str, Ids], start: int, seed: int | None, host: int, hosts: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Batches from step `start` on: for ever, or where `seed` is None one epoch in order.

    Args:
      columns: n sentences each; sentence i of all of them is one example.

    Returns:
      Which example each row is, int32 (b,), -1 where it is none; and the columns, int32 (b, S), 0 after each sentence.
    """
    tf = tensorflow()
    table = {
        name: tf.RaggedTensor.from_row_lengths(np.concatenate(ids).astype(np.int32), [len(i) for i in ids])
        for name, ids in columns.items()
    }

    def batch(step: Any) -> Any:
        length, index, real = plan.batch(step, seed, host, hosts)
        shape = tf.stack([tf.constant(-1, tf.int64), length])
        rows = {name: tf.gather(ragged, index).to_tensor(shape=shape) for name, ragged in table.items()}
        return tf.where(real, tf.cast(index, tf.int32), -1), {
            name: tf.where(real[:, None], row, 0) for name, row in rows.items()
        }

    stop = plan.steps if seed is None else np.iinfo(np.int64).max
    dataset = tf.data.Dataset.range(start, stop).map(graph(batch), num_parallel_calls=2, deterministic=True)
    return dataset.prefetch(2).with_options(options()).as_numpy_iterator()


def one_batch(tokenizer: Tokenizer, texts: Sequence[str], most: int, multiple: int) -> tuple[np.ndarray, list[str]]:
    """Sentences as one batch int32 (n, S), S a multiple or `most`; and what was done to them, as lines."""
    ids, found = tokenizer.encode(texts), []
    for text, sentence in zip(texts, ids, strict=True):
        if len(sentence) > most:
            found.append(f"cut from {len(sentence)} to max_length={most} tokens: {text[:60]!r} ...")
        if unknown := int((sentence == UNKNOWN).sum()):
            found.append(f"{unknown} tokens that are not in the vocabulary in: {text[:60]!r}")
    ids = cut(ids, most)
    length = min(-(-max(map(len, ids)) // multiple) * multiple, most)
    return np.stack([np.pad(sentence, (0, length - len(sentence))) for sentence in ids]), found
