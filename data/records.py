"""Raw examples of a source as tf.data sets: streamed where they cannot be read by index, and changed one by one."""

from collections.abc import Callable

import numpy as np

from data.order import Dataset, graph, tensorflow
from data.sources import Example, Source


def stream(source: Source, start: int, rows: int, host: int, hosts: int, seed: int, buffer: int) -> Dataset:
    """Batches of this host's `rows` raw records from step `start` on, without end, each with its step."""
    tf = tensorflow()
    records = source.stream(host, hosts, seed, start * rows, buffer).batch(rows)
    return tf.data.Dataset.zip((records, tf.data.Dataset.range(start, np.iinfo(np.int64).max)))


def once(source: Source, host: int, hosts: int, rows: int) -> Dataset:
    """This host's part of a split with the place of each, filled up to `rows`; what fills has a place past the end."""
    tf = tensorflow()
    records = source.in_order(host, hosts)
    end = tf.data.Dataset.from_tensors(tf.constant(source.size, tf.int64))
    filler = tf.data.Dataset.zip((records.map(lambda raw, _: raw).take(1), end))
    return records.concatenate(filler.repeat()).take(rows)


def changed(
    raw: Dataset, source: Source, change: Callable[[Example, Example], Example], blank: Example | None
) -> Dataset:
    """Single raw examples and what is known of each, `row` -> the changed example | row | `readable`, in order.

    They are read and changed in parallel. `readable` is float32, 0 for an example that stands for one that cannot be
    read.

    Args:
      change: (example, row) -> what the model is to see.
      blank: what stands for an example that cannot be read; None where such a one is an error.
    """
    tf = tensorflow()

    def load(r: Example, row: Example) -> Example:
        return change(source.parse(r), row) | row | {"readable": tf.constant(1.0)}

    if blank is None:
        return raw.map(graph(load), num_parallel_calls=tf.data.AUTOTUNE)

    def load_or_blank(r: Example, row: Example) -> Dataset:
        one = tf.data.Dataset.from_tensors((r, row)).map(graph(load)).ignore_errors()
        instead = tf.data.Dataset.from_tensors(blank | row | {"readable": tf.constant(0.0)})
        return one.concatenate(instead).take(1)

    return raw.interleave(
        graph(load_or_blank), cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
