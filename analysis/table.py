"""One tidy table of a study's runs, a row a run."""

import csv
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from errors import UserError, nearest
from experiment import record
from studies import grid, launch
from training import log, mishaps

Row = record.Record
LARGEST_LOSS = 1e3  # in nats, or of normalised pixels: an untrained model's is under 20
LAST = ("wall_seconds", "device", "commit", "command")  # columns of the right end


def collect(study: grid.Study, jobs: Sequence[grid.Job], folder: Path) -> list[Row]:
    """A row for each run of a study, in the order of the jobs: see `row`. Rows of deleted runs stay: see `kept`."""
    before = kept(folder)
    return [before.get(job.name) or row(study, job, folder) for job in jobs]


def kept(folder: Path) -> dict[str, Row]:
    """The finished runs of an earlier table whose checkpoints, or whole folders, were deleted since; by name."""
    path = folder / "table.json"
    rows = record.of_json(path) if path.exists() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"run", "state"} <= row.keys() for row in rows):
        raise UserError(f"{path} is damaged. {record.MEND}")
    deleted = lambda row: not (folder / row["run"] / "checkpoints").exists()  # noqa: E731
    return {row["run"]: row for row in rows if row["state"] == "finished" and deleted(row)}


def row(study: grid.Study, job: grid.Job, folder: Path) -> Row:
    """What a run came to.

    Returns:
      run, config, the labels, seed and state ("finished", "unfinished", "missing"), with the last line of the output of
      a run that is not finished as the reason. Unless it is missing, also:
        parameters; flops_per_example, of a forward pass; total_flops, of all training; examples_seen; steps;
        selected_step: of the evaluation that counts;
        train_seconds, step_seconds: without compiling, evaluations and saves;
        FIGURE/NAME: every single number of the figures drawn of the run;
        every metric of the selected evaluation, and of the last log line before it;
        wall_seconds: of all attempts that ended, None if another scheduler ran them;
        device, commit, command.
    """
    workdir = folder / job.name
    result: Row = {"run": job.name, "config": job.flags[0].partition("=")[2], **job.labels, "seed": job.seed}
    if grid.progress(workdir) < 1 and (workdir / launch.OUTPUT).exists():
        result["reason"] = launch.last_line(workdir / launch.OUTPUT)
    if not (workdir / record.FILE).exists():
        return result | {"state": "missing"}
    about, rows = record.read(workdir), log.read(workdir)
    evaluated = [r for r in rows if any("/" in key and not key.startswith("train/") for key in r)]
    trained = [r for r in rows if "seconds" in r]
    chosen = select(evaluated, study.select, study.select_mode)
    steps, seconds = rows[-1]["step"] if rows else 0, sum(r["seconds"] for r in trained)
    batch = about["data"].get("batch_size") or about["data"].get("batch_tokens")
    result |= {
        "state": "finished" if grid.progress(workdir) == 1 else "unfinished",
        "parameters": about["parameters"],
        "flops_per_example": about["step_flops"] / 3 / batch,
        "total_flops": about["step_flops"] * steps,
        "examples_seen": batch * steps,
        "steps": steps,
        "selected_step": chosen["step"] if chosen else None,
        "train_seconds": round(seconds, 2),
        "step_seconds": seconds / max(steps, 1),
    }
    for path in sorted((workdir / "figures").glob("*.npz")):  # drawn by a command of study.after
        with np.load(path, allow_pickle=False) as arrays:
            result |= {
                f"{path.stem}/{key}": float(arrays[key])
                for key in arrays
                if arrays[key].shape == () and arrays[key].dtype.kind in "if"
            }
    if chosen:
        until = [r for r in trained if r["step"] <= chosen["step"]]
        metrics = (until[-1] if until else {}) | chosen
        result |= {key: value for key, value in metrics.items() if key not in ("step", "seconds")}
    spent = [attempt["seconds"] for attempt in grid.attempts(workdir)]
    command = shlex.join(["python", *portable(job.commands(folder)[0])])
    return result | {
        "wall_seconds": round(sum(spent), 1) if spent else None,
        "device": about["devices"],
        "commit": about["commit"],
        "command": command,
        **job.labels,  # a metric of the same name, such as learning_rate, does not replace a label
    }


def diverged(row: Row) -> str:
    """What says that a run has diverged: its losses, such as "test/loss is 3e+12", or that they ended it; "" if nothing
    does."""
    words = [mishaps.NOT_FINITE] if mishaps.NOT_FINITE in str(row.get("reason")) else []
    for name, value in row.items():
        if name.rpartition("/")[2] in ("loss", "nll") and "/" in name:
            if value is None or not math.isfinite(value):  # null: JSON has no NaN
                words.append(f"{name} is not finite")
            elif value > LARGEST_LOSS:
                words.append(f"{name} is {value:.2g}")
    return ", ".join(words)


def ended(row: Row) -> bool:
    """Whether a run came to its end: finished or diverged. No start of the study changes what it came to."""
    return row.get("state", "finished") == "finished" or bool(diverged(row))


def portable(arguments: Sequence[str]) -> list[str]:
    """Arguments without the folder of this machine's data."""
    return [argument for argument in arguments if not argument.startswith("--config.data.data_dir=")]


def select(evaluated: Sequence[Row], metric: str, mode: Literal["max", "min"]) -> Row | None:
    """The evaluation that counts: the first of those with the best metric, or the last one if no metric is named.

    Raises:
      UserError: no evaluation has the metric.
    """
    if not evaluated:
        return None
    if not metric:
        return evaluated[-1]
    if not any(metric in row for row in evaluated):
        raise UserError(f"study.select={metric!r}: {nearest(metric, set().union(*evaluated) - {'step'})}")
    sign = 1 if mode == "max" else -1
    return max(evaluated, key=lambda row: sign * row[metric] if row.get(metric) is not None else float("-inf"))


def write(rows: Sequence[Row], folder: Path) -> None:
    """Writes table.csv and table.json."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in LAST)) + list(LAST)
    (folder / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
