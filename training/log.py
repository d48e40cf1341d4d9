"""What a run writes down: metrics.jsonl and TensorBoard events."""

import contextlib
import errno
import io
import json
import math
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np
from tensorboardX.proto import event_pb2, summary_pb2
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar

import storage
from errors import DiskFull, UserError
from lookup import Json

FILE = "metrics.jsonl"
MEND = "Remove that line, or put back a copy of the file."

Row = Json


class Log:
    """One JSON object a line with `step` and metrics by name; the same metrics as TensorBoard scalars.

    Both are written at once by the caller: a library's thread would die on a full disk and hold up the run.

    Args:
      workdir: holds metrics.jsonl and tensorboard/.
      start: the step that the run continues from. It writes later steps again, so that their lines, and a last line cut
        short by a kill, are dropped first.
      write: whether this is the host that writes.

    Raises:
      UserError: a file cannot be written.
    """

    def __init__(self, workdir: Path, start: int, write: bool = True):
        self._on, self._path = write, workdir / FILE
        if not write:
            return
        with self._explained():
            kept = [row for row in read(workdir) if row["step"] <= start]
            storage.replace(self._path, "".join(json.dumps(row) + "\n" for row in kept))
            self._events = Events(workdir / "tensorboard", start)
            self._file = self._path.open("ab", buffering=0)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes a line. Metrics that are not finite become null: JSON has no NaN."""
        if not self._on:
            return
        plain = {name: float(np.float32(value)) for name, value in metrics.items()}
        row = {"step": step} | {name: value if math.isfinite(value) else None for name, value in plain.items()}
        with self._explained():
            write_whole(self._file, json.dumps(row).encode() + b"\n")
            self._events.write(step, plain)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else UserError
            raise kind(
                f"cannot write metrics to {self._path.parent}: {error.strerror or error}. Free some space or mend "
                "what is wrong there, and run the same command again to continue from the newest checkpoint."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._on:
            self._file.close()
            self._events.close()


class Events:
    """A file of TensorBoard events, as tensorboardX would write it.

    Args:
      folder: of the file.
      start: events of later steps, in older files, do not count.
    """

    def __init__(self, folder: Path, start: int):
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
        self._file = (folder / name).open("ab", buffering=0)
        self._event(file_version="brain.Event:2")
        self._event(step=start + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds scalars."""
        values = [value for name, number in metrics.items() for value in scalar(name, number).value]
        self._event(step=step, summary=summary_pb2.Summary(value=values))

    def _event(self, **content: object) -> None:  # of several types, by name
        data = event_pb2.Event(wall_time=time.time(), **content).SerializeToString()
        size = struct.pack("<Q", len(data))
        checksums = [struct.pack("<I", masked_crc32c(part)) for part in (size, data)]
        write_whole(self._file, size + checksums[0] + data + checksums[1])

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def write_whole(file: io.RawIOBase, data: bytes) -> None:
    """Writes to a file without a buffer, which may take a part only, such as what a full disk has room for."""
    while data:
        data = data[file.write(data) :]


def scored(workdir: Path, step: int) -> bool:
    """Whether the metrics of the evaluation after a step were written, and not only those of the training."""
    return any(row["step"] == step and "learning_rate" not in row for row in read(workdir))


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
