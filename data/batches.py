"""From tf.data to NumPy; an example that cannot be used becomes an error that names it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from data.sources import Source
from errors import UserError

SKIP = "--config.data.unreadable=skip"


def as_numpy(
    batches: tf.data.Dataset,
    source: Source,
    indices: Callable[[int], Any],
    decode: Callable[[tf.Tensor], tf.Tensor],
) -> Iterator[dict[str, np.ndarray]]:
    """The dataset's batches.

    Args:
      source: where the examples come from. indices: which of them, int64 (b,), batch number 0, 1, ... was made of.
      decode: what was done to each image, to find the one that it fails on.

    Raises:
      UserError: an example cannot be read, or its label is not one of the source's classes.
    """
    iterator, number = batches.as_numpy_iterator(), 0
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except tf.errors.OpError as error:
            raise _culprit(source, indices(number), decode, error) from None
        wrong = np.flatnonzero((batch["label"] < 0) | (batch["label"] >= len(source.classes)))
        if wrong.size:
            which = source.describe(int(indices(number)[wrong[0]])) if source.random_access else "an example"
            label, last = batch["label"][wrong[0]], len(source.classes) - 1
            raise UserError(f"{which} has label {label}, outside 0 to {last}: is this split labelled?")
        yield batch
        number += 1


def _culprit(source: Source, indices: Any, decode: Callable[[tf.Tensor], tf.Tensor], error: Exception) -> UserError:
    """Reads a batch that failed again, one example at a time, to find whose fault it is."""
    if source.random_access:
        raw = source.read(tf.constant(indices))
        for row, index in enumerate(np.asarray(indices)):
            try:
                decode(source.parse(tf.nest.map_structure(lambda x, row=row: x[row], raw))["image"])
            except tf.errors.OpError as found:
                what = source.describe(int(index))
                return UserError(
                    f"cannot read {what}: {reason(found)} Mend or remove it, or pass over such images with {SKIP}."
                )
    return UserError(f"cannot read the data: {reason(error)} To pass over such images: {SKIP}.")


def reason(error: Exception) -> str:
    """The part of a TensorFlow error that says what is wrong."""
    text = " ".join((getattr(error, "message", "") or str(error)).split())
    text = text.split("[[")[0].split("[Op:")[0].rsplit("}}", 1)[-1].strip()
    return text if text.endswith(".") else f"{text}."
