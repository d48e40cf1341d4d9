"""Pipelines by kind: config.data.kind = "images" is `data/pipelines/images.py`'s `make(...)`."""

from errors import UserError


def check_batch(batch_size: int, devices: int, accumulate: int) -> None:
    """A global batch must divide by the devices and, on each, by the micro-batches; a UserError names one that does."""
    parts = devices * accumulate
    if batch_size % parts:
        nearest = max(1, round(batch_size / parts)) * parts
        raise UserError(
            f"config.data.batch_size={batch_size} does not divide by {devices} devices x {accumulate} micro-batches: "
            f"try --config.data.batch_size={nearest}."
        )
