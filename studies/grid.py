"""The runs of a study: every point of configs/studies/NAME.py for every seed, each a command of its own."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from absl import flags
from ml_collections import ConfigDict, config_flags

import lookup
from errors import UserError
from experiment import record
from training import log

FILE = "study.json"
ATTEMPTS = "attempts.jsonl"  # of a run: how each attempt ended, and how long it took


@dataclass(frozen=True)
class Study:
    """configs/studies/: see configs/studies/base.py for the keys."""

    title: str
    paper: str
    question: str
    reported: str
    seeds: int
    at_once: int
    runs: tuple[dict[str, Any], ...]
    after: tuple[str, ...]
    select: str
    select_mode: Literal["max", "min"]
    figures: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Job:
    """One run. name: its folder in the study's. labels: what tells its point from the others. flags: of train.py. length:
    its steps, or epochs."""

    name: str
    labels: dict[str, Any]
    seed: int
    flags: tuple[str, ...]
    after: tuple[str, ...] = ()
    length: float = 1.0

    def commands(self, folder: Path, python: str = sys.executable) -> list[list[str]]:
        """train.py, and what comes after it."""
        workdir = f"--workdir={folder / self.name}"
        after = [[python, script, workdir, *more] for script, *more in map(str.split, self.after)]
        return [[python, "train.py", *self.flags, workdir], *after]


def read(config: ConfigDict) -> Study:
    """The study that a config describes."""
    study = lookup.call("study", Study, config.to_dict())
    if study.seeds < 1 or study.at_once < 1:
        raise UserError("study.seeds and study.at_once must be at least 1.")
    if not study.runs:
        raise UserError("study.runs is empty: the study has nothing to run.")
    return study


def jobs(study: Study, changes: Sequence[str] = ()) -> list[Job]:
    """All runs, first of seed 0, so that every point is there early.

    Args:
      changes: "--config.KEY=VALUE" of every run.

    Raises:
      UserError: a run that train.py would refuse for its config, or two in one folder.
    """
    found: dict[str, Job] = {}
    lengths: dict[int, float] = {}  # of each run, whatever the seed
    for seed in range(study.seeds):
        for number, run in enumerate(study.runs):
            labels = dict(run["labels"])
            name = "-".join(re.sub(r"[^\w.+]+", "_", str(value)) for value in labels.values()) + f"-seed{seed}"
            own = [f"--config.{change}" for change in run["changes"]]
            arguments = (f"--config={run['config']}", f"--config.seed={seed}", *own, *changes)
            if list(labels) != list(dict(study.runs[0]["labels"])):
                raise UserError(
                    f"run {name} of the study has the labels {', '.join(labels)}, and the first run "
                    f"{', '.join(dict(study.runs[0]['labels']))}: give all the same ones."
                )
            if name in found:
                raise UserError(f"two runs of the study share the workdir {name}: give them labels that differ.")
            if number not in lengths:
                config = read_config(name, arguments)
                lengths[number] = config.steps or config.epochs
            found[name] = Job(name, labels, seed, arguments, study.after, lengths[number])
    return list(found.values())


def read_config(name: str, arguments: Sequence[str]) -> ConfigDict:
    """The config of a run, as train.py will read it."""
    values, argv = flags.FlagValues(), ["study.py", *arguments]
    config_flags.DEFINE_config_file("config", None, "", flag_values=values, sys_argv=argv)
    if not Path(file := arguments[0].partition("=")[2].partition(":")[0]).is_file():
        raise UserError(f"run {name} of the study: there is no config {file}.")
    try:
        values(argv)
        return values["config"].value
    except (flags.Error, AttributeError, KeyError, ValueError, TypeError) as error:
        text = " ".join(str(error.args[0] if error.args else error).split())
        raise UserError(f"run {name} of the study: {text}") from None


def begin(folder: Path, jobs: Sequence[Job]) -> None:
    """Makes the study's folder, or sees that it is this study's.

    Raises:
      UserError: it holds another study's runs of the same names.
    """
    mine = {job.name: list(job.flags) for job in jobs}
    path = folder / FILE
    before = json.loads(path.read_text()) if path.exists() else {}
    for name in mine:
        if name in before and mine[name] != before[name]:
            differ = sorted(set(mine[name]) ^ set(before[name]))
            raise UserError(
                f"{folder} holds a study whose run {name} is another: {' '.join(differ)}. Choose another --workdir."
            )
    folder.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(before | mine, indent=1) + "\n")
    fresh.replace(path)


def progress(workdir: Path) -> float:
    """The share of a run's steps that are done, 0 to 1; 1 only if its last checkpoint is there too."""
    if not (workdir / record.FILE).exists():
        return 0.0
    total = record.read(workdir)["total_steps"]
    rows = log.read(workdir)
    last = rows[-1]["step"] if rows else 0
    if last >= total and not (workdir / "checkpoints" / str(total)).is_dir():
        return 0.999
    return last / total


def attempts(workdir: Path) -> list[dict[str, Any]]:
    path = workdir / ATTEMPTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def done(job: Job, folder: Path) -> bool:
    """Whether a run is trained, and what comes after it done."""
    workdir = folder / job.name
    ended = not job.after or any(attempt["state"] == "finished" for attempt in attempts(workdir))
    return ended and progress(workdir) == 1
