"""The runs of a study: every point of configs/studies/NAME.py for every seed, each a command of its own."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic
from absl import flags
from ml_collections import ConfigDict, config_flags

import lookup
import storage
from errors import UserError
from experiment import config as configs
from experiment import record
from lookup import Json
from training import log

FILE = "study.json"
ATTEMPTS = "attempts.jsonl"  # in a run's folder: how each attempt ended, and how long it took


@dataclass(frozen=True)
class Study:
    """The keys of a study of configs/studies/.

    Attributes:
      title: of the report.
      paper: the figure or table it reproduces.
      question: what it asks, a sentence.
      reported: what the paper reports, in Markdown.
      seeds: runs of each point.
      at_once: runs at a time on this machine.
      runs: the points, see configs/studies/base.run.
      after: commands after each run, such as "visualize.py gradients", which are given its --workdir.
      select: early stopping: the metric whose best evaluation counts; "" for the last evaluation.
      select_mode: whether the best is the largest or the smallest.
      figures: of the report, see configs/studies/base.figure.
    """

    title: str
    paper: str
    question: str
    reported: str
    seeds: pydantic.PositiveInt
    at_once: pydantic.PositiveInt
    runs: tuple[Json, ...]  # labels are numbers or text
    after: tuple[str, ...]
    select: str
    select_mode: Literal["max", "min"]
    figures: tuple[Json, ...]  # arguments of any figure


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
      name: its folder within the study's.
      labels: of its point, by which the table tells points apart.
      seed: of the run.
      flags: of train.py.
      after: commands after it.
      length: its steps, or epochs.
    """

    name: str
    labels: dict[str, object]
    seed: int
    flags: tuple[str, ...]
    after: tuple[str, ...] = ()
    length: float = 1.0

    def commands(self, folder: Path) -> list[list[str]]:
        """Python's arguments: train.py's, and those of the commands after it. folder: of the study."""
        workdir = f"--workdir={folder / self.name}"
        after = [[script, workdir, *more] for script, *more in map(str.split, self.after)]
        return [["train.py", *self.flags, workdir], *after]


def read(config: ConfigDict) -> Study:
    """The study of a config.

    Raises:
      UserError: a key that is wrong or missing, or a study without runs.
    """
    study = lookup.call("study", Study, config.to_dict())
    if not study.runs:
        raise UserError("study.runs is empty: the study has nothing to run.")
    return study


def jobs(study: Study, changes: Sequence[str] = ()) -> list[Job]:
    """All runs, those of seed 0 first, so that every point has a run early.

    Args:
      study: the grid.
      changes: "--config.KEY=VALUE" for every run.

    Raises:
      UserError: a run whose config train.py would refuse, two of the same name, or a change of what they differ in.
    """
    points = [dict(change.split("=", 1) for change in run["changes"]) for run in study.runs]
    for key in (change.removeprefix("--config.").partition("=")[0] for change in changes):
        if key == "seed" or len({point.get(key) for point in points}) > 1:
            raise UserError(f"--config.{key} would be the same in all runs of the study, which differ in it.")
    jobs_by_name: dict[str, Job] = {}
    lengths: dict[int, float] = {}  # of each point
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
            if name in jobs_by_name:
                raise UserError(f"two runs of the study share the workdir {name}: give them labels that differ.")
            if number not in lengths:
                config = read_config(name, arguments)
                lengths[number] = config.steps or config.epochs
            jobs_by_name[name] = Job(name, labels, seed, arguments, study.after, lengths[number])
    return list(jobs_by_name.values())


def read_config(name: str, arguments: Sequence[str]) -> ConfigDict:
    """The config of a run as train.py will read it.

    Args:
      name: of the run.
      arguments: of train.py, --config=FILE first.

    Raises:
      UserError: no such config, or a change it does not take.
    """
    config_file, *changes = arguments
    parts = (change.removeprefix("--config.").partition("=") for change in changes)
    values, by_key = flags.FlagValues(), {key: value for key, _, value in parts}
    chosen = {key: by_key[key] for key in configs.CHOICES if key in by_key}
    try:
        config = configs.load(config_file.removeprefix("--config="), chosen)
        for key in by_key:
            configs.check_key(config, key)
        argv = ["study.py", *changes]
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        values(argv)
        return values["config"].value
    except (UserError, flags.Error, AttributeError, KeyError, ValueError, TypeError) as error:
        text = " ".join(str(error.args[0] if error.args else error).split())
        raise UserError(f"run {name} of the study: {text}") from None


def begin(folder: Path, jobs: Sequence[Job]) -> None:
    """Creates the study's folder, or checks that it holds the same study.

    Raises:
      UserError: it holds runs of the same names with other flags.
    """
    mine = {job.name: list(job.flags) for job in jobs}
    path = folder / FILE
    before = record.of_json(path) if path.exists() else {}
    if not isinstance(before, dict):
        raise UserError(f"{path} is damaged. {record.MEND}")
    for name in mine:
        if name in before and mine[name] != before[name]:
            differ = sorted(set(mine[name]) ^ set(before[name]))
            raise UserError(
                f"{folder} holds a study whose run {name} differs: {' '.join(differ)}. Choose another --workdir."
            )
    folder.mkdir(parents=True, exist_ok=True)
    storage.replace(path, json.dumps(before | mine, indent=1) + "\n")


def progress(workdir: Path) -> float:
    """The share of a run's steps that are done; 1 only if its last checkpoint and its last metrics are there too."""
    if not (workdir / record.FILE).exists():
        return 0.0
    total = record.read(workdir)["total_steps"]
    rows = log.read(workdir)
    last = rows[-1]["step"] if rows else 0
    if last >= total and not ((workdir / "checkpoints" / str(total)).is_dir() and log.scored(workdir, total)):
        return 0.999
    return last / total


def attempts(workdir: Path) -> list[record.Record]:
    """The attempts of a run that ended, with their state and seconds."""
    found = log.rows(workdir / ATTEMPTS)
    if any(not {"state", "seconds"} <= attempt.keys() for attempt in found):
        raise UserError(f"{workdir / ATTEMPTS} is damaged. {log.MEND}")
    return found


def done(job: Job, folder: Path) -> bool:
    """Whether a run is trained and the commands after it have run."""
    workdir = folder / job.name
    ended = not job.after or any(attempt["state"] == "finished" for attempt in attempts(workdir))
    return ended and progress(workdir) == 1
