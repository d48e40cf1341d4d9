"""What a run writes down: metrics.jsonl and TensorBoard events."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from tensorboardX import SummaryWriter

from errors import UserError

FILE = "metrics.jsonl"
MEND = "Remove that line, or put back a copy of the file."

Row = dict[str, Any]  # JSON


class Log:
    """One JSON object a line with `step` and metrics by name; the same metrics as TensorBoard scalars.

    Args:
      workdir: holds metrics.jsonl and tensorboard/.
      start: the step that the run continues from. It writes later steps again, so that their lines, and a last line cut
        short by a kill, are dropped first.
      write: whether this is the host that writes.
    """

    def __init__(self, workdir: Path, start: int, write: bool = True):
        self._on = write
        if not write:
            return
        path = workdir / FILE
        kept = [row for row in read(workdir) if row["step"] <= start]
        fresh = path.with_suffix(".tmp")
        fresh.write_text("".join(json.dumps(row) + "\n" for row in kept))
        os.replace(fresh, path)
        self._file = path.open("a")
        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1 if start else None)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes a line. Metrics that are not finite become null: JSON has no NaN."""
        if not self._on:
            return
        plain = {name: float(np.float32(value)) for name, value in metrics.items()}
        row = {"step": step} | {name: value if math.isfinite(value) else None for name, value in plain.items()}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in plain.items():
            self._events.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._on:
            return
        try:
            self._file.close()
            self._events.close()
        except OSError:  # a full disk, which has ended the run already if there is an exception
            if exception[0] is None:
                raise


def read(workdir: Path) -> list[Row]:
    """The rows of a run's metrics.jsonl, in order.

    Raises:
      UserError: see `rows`, or a row without a step.
    """
    found = rows(workdir / FILE)
    for number, row in enumerate(found, 1):
        if type(row.get("step")) is not int or not all(x is None or type(x) in (int, float) for x in row.values()):
            raise UserError(f"{workdir / FILE} is damaged: row {number} is not a step with its numbers. {MEND}")
    return found


def rows(path: Path) -> list[Row]:
    """The JSON objects of a file, one a line; none where there is no file. A kill can cut the last line short, which
    is then left out.

    Raises:
      UserError: the file cannot be read, or another line of it is damaged.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line else {}
            if not isinstance(row, dict):
                raise ValueError
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise UserError(f"{path} is damaged in line {number}. {MEND}") from None
        if row:
            found.append(row)
    return found
