"""What all pipelines share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Feed:
    """For whom a pipeline reads, and where a trained run's files are.

    Attributes:
      seed: of order and augmentation.
      host, hosts: whose slice of each batch this is.
      divisor: devices, by which every batch must divide.
      accumulate: micro-batches, by which a device's share of a training batch must divide.
      known: of a trained run, what its own pipeline gave as `known`; None for a new run.
      folder: where the pipeline's `files` are.
    """

    seed: int = 0
    host: int = 0
    hosts: int = 1
    divisor: int = 1
    accumulate: int = 1
    known: dict[str, Any] | None = None
    folder: Path = Path()
