"""From a split to NumPy batches by tf.data, with what a kind of pipeline does to examples and batches."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from data import records
from data.batches import as_numpy
from data.order import Dataset, Tensor, graph, options, tensorflow
from data.sources import Example

if TYPE_CHECKING:
    from data.pipelines.base import Base, Split

Opened = TypeVar("Opened")
S = TypeVar("S", bound="Split")
RowsOf: TypeAlias = Callable[[Tensor], tuple[Tensor, Example]]

ENDLESS = np.iinfo(np.int64).max


def batches(pipeline: "Base[Opened, S]", split: S, start: int, train: bool) -> Iterator[dict[str, np.ndarray]]:
    """The batches of a split from step `start` on: without end in training, once in evaluation.

    Returns:
      Batches as `pipeline.finish` makes them, with `readable` float32 (b,) where examples were changed one by one and,
      in evaluation, `index` int32 (b,).
    """
    tf = tensorflow()
    source, plan, feed = split.source, split.plan, pipeline.feed
    seed, stop = (feed.seed, ENDLESS) if train else (None, plan.steps)
    change = pipeline.change(split, train)

    def rows_of(step: Tensor) -> tuple[Tensor, Example]:
        """The padded length of a batch, and what is known of its rows before they are read."""
        length, index, real = plan.batch(step, seed, feed.host, feed.hosts)
        mine = tf.shape(index, tf.int64)[0] if index.shape[0] is None else index.shape[0]
        position = step * plan.most + feed.host * mine + tf.range(mine, dtype=tf.int64)
        row = {"index": index, "real": real, "position": position}
        return length, row | (pipeline.draw(step, split, train) if change else {})

    def finished(batch: Example) -> Example:
        out = pipeline.finish(batch, split, train)
        if not train:
            out["index"] = tf.where(batch["real"], tf.cast(batch["index"], tf.int32), -1)
        return out | ({"readable": batch["readable"]} if change else {})

    def whole(step: Tensor) -> Example:
        length, row = rows_of(step)
        return finished(source.parse(source.read(row["index"])) | row | {"step": step, "length": length})

    def of_examples(batch: Example) -> Example:
        return finished(batch | {"step": batch["position"][0] // plan.most, "length": 0})

    if change is None and source.random_access:
        steps = tf.data.Dataset.range(start, stop)
        made = steps.map(graph(whole), num_parallel_calls=2, deterministic=True)
    else:
        raw = _raw(pipeline, split, rows_of, start, stop, train).unbatch()
        changed = records.changed(raw, source, change or (lambda example, _: example), pipeline.blank(train))
        rows = plan.most // feed.hosts
        made = changed.batch(rows, drop_remainder=True).map(graph(of_examples), num_parallel_calls=2)
    again = pipeline.change(split, train=False)
    return as_numpy(
        made.prefetch(2).with_options(options()),
        source,
        indices=lambda i: rows_of(tf.constant(start + i, tf.int64))[1]["index"],
        change=(lambda example: again(example, {})) if again else None,
        wrong=lambda batch: pipeline.wrong(batch, split),
    )


def _raw(pipeline: "Base[Opened, S]", split: S, rows_of: RowsOf, start: int, stop: int, train: bool) -> Dataset:
    """Batches of raw examples, each with its rows. What is streamed in training has index -1: nobody knows it."""
    tf = tensorflow()
    source, plan, feed = split.source, split.plan, pipeline.feed
    rows = plan.most // feed.hosts

    def by_index(step: Tensor) -> tuple[Example, Example]:
        _, row = rows_of(step)
        return source.read(row["index"]), row

    def streamed(raw: Example, step: Tensor) -> tuple[Example, Example]:
        return raw, rows_of(step)[1] | {"index": tf.fill([rows], tf.constant(-1, tf.int64))}

    def placed(raw: Example, place: Tensor) -> tuple[Example, Example]:
        return raw, {"index": place, "real": place < source.size, "position": place}

    if source.random_access:
        return tf.data.Dataset.range(start, stop).map(graph(by_index))
    if train:
        stream = records.stream(source, start, rows, feed.host, feed.hosts, feed.seed, pipeline.buffer)
        return stream.map(graph(streamed))
    in_order = records.once(source, feed.host, feed.hosts, rows * plan.steps).batch(rows)
    return in_order.map(graph(placed))
