"""From tf.data to NumPy; an example that cannot be used becomes an error that names it."""

import errno
import os
from collections.abc import Callable, Iterator

import numpy as np

from data.order import Dataset, Tensor, tensorflow
from data.sources import Example, Source
from errors import UserError

SKIP = "--config.data.unreadable=skip"
OF_FILES = {os.strerror(number) for number in errno.errorcode}  # "Permission denied" and so on
CUT_OFF = "jpeg::Uncompress failed"  # TensorFlow's words for a JPEG that ends too soon, or is damaged


def as_numpy(
    batches: Dataset,
    source: Source,
    indices: Callable[[int], Tensor],
    change: Callable[[Example], object] | None,
    wrong: Callable[[dict[str, np.ndarray]], tuple[int, str] | None],
) -> Iterator[dict[str, np.ndarray]]:
    """The batches of a tf.data set.

    Args:
      source: where the examples come from.
      indices: which of them, int64 (b,), batch number 0, 1, ... was made of.
      change: what is done to each example, to find the one that it fails on.
      wrong: the row of a batch that cannot be used and why, if there is one.

    Raises:
      UserError: an example cannot be read or used.
    """
    tf = tensorflow()
    iterator, number = batches.as_numpy_iterator(), 0
    try:
        while True:
            try:
                batch = next(iterator)
            except StopIteration:
                return
            except tf.errors.OpError as error:
                failed = error.with_traceback(None)  # whose frames would hold the iterator
                break
            if found := wrong(batch):
                row, why = found
                which = source.describe(int(indices(number)[row])) if source.random_access else "an example"
                raise UserError(f"{which} {why}")
            yield batch
            number += 1
    finally:
        # If the garbage collector did it in a thread of this pipeline, that thread would wait for itself and never end.
        del iterator
    raise _culprit(source, indices(number), change, failed)


def reason(error: Exception) -> str:
    """The part of a TensorFlow error that says what is wrong."""
    text = " ".join((getattr(error, "message", "") or str(error)).split())
    text = text.split(" Traceback (most recent call last)")[0]  # of what Python has raised within TensorFlow
    text = text.split("[[")[0].split("[Op:")[0].rsplit("}}", 1)[-1].strip().removeprefix("ValueError: ")
    path, _, fault = text.rpartition("; ")  # a line names the path already
    text = fault if path and fault in OF_FILES else text
    text = "it is damaged, or its end is missing" if text.startswith(CUT_OFF) else text
    return text if text.endswith(".") else f"{text}."


def _culprit(
    source: Source, indices: Tensor, change: Callable[[Example], object] | None, error: Exception
) -> UserError:
    """Reads a batch that failed again, one example at a time, to find whose fault it is."""
    tf = tensorflow()
    if source.random_access and change:
        for index in np.asarray(indices):
            try:
                raw = source.read(tf.constant([index]))
                change(source.parse(tf.nest.map_structure(lambda x: x[0], raw)))
            except UserError as found:
                return found
            except Exception as found:  # outside tf.data a source's library raises its own
                what = source.describe(int(index))
                return UserError(
                    f"cannot read {what}: {reason(found)} Mend or remove it, or pass over such examples with {SKIP}."
                )
    if isinstance(error, (tf.errors.DataLossError, tf.errors.FailedPreconditionError)):  # of records, not of one
        return UserError(f"cannot read the data: {reason(error)} The set's files are damaged: prepare it again.")
    return UserError(f"cannot read the data: {reason(error)} To pass over such examples: {SKIP}.")
