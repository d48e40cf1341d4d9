"""One tidy table of a study's runs, a row a run."""

import csv
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment import record
from studies import grid
from training import log

Row = dict[str, Any]
LAST = ("wall_seconds", "device", "commit", "command")  # of the columns


def collect(study: grid.Study, jobs: Sequence[grid.Job], folder: Path) -> list[Row]:
    """A row for each run of a study, wherever it ran, in the order of the jobs.

    Columns: run, config, the labels, seed, state ("finished", "unfinished", "missing"); where there is a run: parameters,
    flops_per_example (forward), total_flops (all its training), examples_seen, steps, selected_step, train_seconds (without
    compiling, evaluations, saves), step_seconds, FIGURE/NAME for every number of the figures that were drawn of it, every
    figure of the selected evaluation and of the last log line before it, wall_seconds (of all attempts that ended; None
    where another scheduler ran it), device, commit, command.
    """
    before = kept(folder)
    return [before.get(job.name) or row(study, job, folder) for job in jobs]


def kept(folder: Path) -> dict[str, Row]:
    """The finished runs of an earlier table, by name: what a run came to stays when its checkpoints are deleted, or all
    its folder."""
    path = folder / "table.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    deleted = lambda row: not (folder / row["run"] / "checkpoints").exists()  # noqa: E731
    return {row["run"]: row for row in rows if row["state"] == "finished" and deleted(row)}


def row(study: grid.Study, job: grid.Job, folder: Path) -> Row:
    workdir = folder / job.name
    found: Row = {"run": job.name, "config": job.flags[0].partition("=")[2], **job.labels, "seed": job.seed}
    if not (workdir / record.FILE).exists():
        return found | {"state": "missing"}
    about, rows = record.read(workdir), log.read(workdir)
    evaluated = [r for r in rows if any("/" in key and not key.startswith("train/") for key in r)]
    trained = [r for r in rows if "seconds" in r]
    chosen = select(evaluated, study.select, study.select_mode)
    steps, seconds = rows[-1]["step"] if rows else 0, sum(r["seconds"] for r in trained)
    batch = about["data"].get("batch_size") or about["data"].get("batch_tokens")
    found |= {
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
    for drawn in sorted((workdir / "figures").glob("*.npz")):  # by a command of study.after
        with np.load(drawn, allow_pickle=False) as arrays:
            found |= {
                f"{drawn.stem}/{key}": float(arrays[key])
                for key in arrays
                if arrays[key].shape == () and arrays[key].dtype.kind in "if"
            }
    if chosen:
        until = [r for r in trained if r["step"] <= chosen["step"]]
        figures = (until[-1] if until else {}) | chosen
        found |= {key: value for key, value in figures.items() if key not in ("step", "seconds")}
    spent = [attempt["seconds"] for attempt in grid.attempts(workdir)]
    command = shlex.join(["python", *elsewhere(job.commands(Path(folder.name))[0][1:])])
    return found | {
        "wall_seconds": round(sum(spent), 1) if spent else None,
        "device": about["devices"],
        "commit": about["commit"],
        "command": command,
        **job.labels,  # which stay, where a figure has a label's name: learning_rate
    }


def elsewhere(arguments: Sequence[str]) -> list[str]:
    """Without what names a folder of this machine."""
    return [argument for argument in arguments if not argument.startswith("--config.data.data_dir=")]


def select(evaluated: Sequence[Row], figure: str, mode: str) -> Row | None:
    """The evaluation that counts: the best by a figure ("max" or "min"), the earlier of two equal ones, or the last."""
    if not evaluated:
        return None
    if not figure:
        return evaluated[-1]
    sign = 1 if mode == "max" else -1
    return max(evaluated, key=lambda row: sign * row[figure] if row.get(figure) is not None else float("-inf"))


def write(rows: Sequence[Row], folder: Path) -> None:
    """table.csv and table.json."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in LAST)) + list(LAST)
    (folder / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
