"""Raw examples of a source as tf.data sets: streamed where they cannot be read by index, and decoded."""

from typing import Any

import numpy as np

from data.order import graph, tensorflow


def stream(source: Any, start: int, rows: int, batch_size: int, host: int, hosts: int, seed: int, buffer: int) -> Any:
    """Batches of this host's `rows` raw records from step `start` on, for ever, each with its positions int64 (rows,)."""
    tf = tensorflow()
    records = source.stream(host, hosts, seed, start * rows, buffer).batch(rows)
    first = host * rows + tf.range(rows, dtype=tf.int64)
    steps = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
    return tf.data.Dataset.zip((records, steps.map(lambda step: step * batch_size + first)))


def once(source: Any, host: int, hosts: int, rows: int) -> Any:
    """This host's part of a split, filled up to `rows`; what fills has a position past the split's end."""
    tf = tensorflow()
    records = source.in_order(host, hosts)
    real = tf.data.Dataset.zip((records, tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).repeat()))
    filler = tf.data.Dataset.zip((records.take(1), tf.data.Dataset.from_tensors(tf.constant(source.size, tf.int64))))
    return real.concatenate(filler.repeat()).take(rows)


def decoded(raw: Any, source: Any, view: Any, blank: tuple[int, int, int] | None) -> Any:
    """Single raw examples -> {"image", "label", "position", "mask"}, decoded in parallel, in order.

    Args:
      view: (example, position) -> what the model sees. blank: the shape of an image of mask 0 that stands for one that cannot
        be decoded; None where such a one is an error.
    """
    tf = tensorflow()

    def load(r: Any, position: Any) -> dict[str, Any]:
        example = source.parse(r)
        return {"image": view(example, position), "label": example["label"], "position": position, "mask": 1.0}

    if blank is None:
        return raw.map(graph(load), num_parallel_calls=tf.data.AUTOTUNE)

    def load_or_blank(r: Any, position: Any) -> Any:
        nothing = {"image": tf.zeros(blank, tf.uint8), "label": tf.constant(0, tf.int64)}
        nothing |= {"position": position, "mask": tf.constant(0.0)}
        one = tf.data.Dataset.from_tensors((r, position)).map(graph(load)).ignore_errors()
        return one.concatenate(tf.data.Dataset.from_tensors(nothing)).take(1)

    return raw.interleave(
        graph(load_or_blank), cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
