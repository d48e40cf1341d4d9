"""A config that is trained, scored and recorded, one entry a run: what the scripts beside this file share."""

import json
import re
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from experiment import config, record, restore  # noqa: E402
from studies import grid  # noqa: E402
from training import log  # noqa: E402

STOPPED = 130  # exit status of what Ctrl-C ended
# What may differ in a finished run that is not trained again: see record.FREE.
FREE = tuple(key for key in record.FREE if key not in ("steps", "epochs"))


def run(workdir: Path, flags: Sequence[str], data: Sequence[str] = ()) -> record.Record:
    """Trains, unless it is done. Returns the command, the minutes that it took and the last evaluation's metrics.

    Args:
      workdir: within this repository.
      flags: of train.py.
      data: flags of where the data are, which the command that is returned does not have.
    """
    command = ["train.py", *flags, f"--workdir={workdir}"]
    clock = spent(ROOT / workdir, [*command, *data])
    rows = [json.loads(line) for line in (ROOT / workdir / "metrics.jsonl").read_text().splitlines()]
    metrics = {key: value for row in rows for key, value in row.items() if "/" in key and not key.startswith("train/")}
    times = {"minutes": round(clock.minutes, 1), "processor minutes": round(clock.processor, 1)}
    return {"command": shlex.join(["python", *command])} | times | metrics


def ended(command: Sequence[str]) -> int:
    """Runs a command of this project to its end, and returns its exit status.

    Ctrl-C reaches the command too, which saves its state and ends: `subprocess.run` would kill it after a quarter of a
    second. Only then does it end the script as well.
    """
    process, stopped = subprocess.Popen([sys.executable, *command], cwd=ROOT), False
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            stopped = True
    if stopped:
        raise KeyboardInterrupt
    return process.returncode


@dataclass(frozen=True)
class Clock:
    """How long a training took, with the starts that were interrupted.

    Attributes:
      minutes: by the wall.
      processor: minutes of all cores together; 0 if it is not known.
    """

    minutes: float = 0.0
    processor: float = 0.0

    @classmethod
    def read(cls, workdir: Path) -> "Clock":
        """Of a run: what its log says of its steps where there is no file, of a version that kept none."""
        if (path := workdir.with_name(f"{workdir.name}.minutes")).exists():
            minutes, _, rest = path.read_text().partition("\n")
            return cls(float(minutes), float(rest) if re.fullmatch(r"[\d.]+\n", rest) else 0.0)
        rows = log.read(workdir) if (workdir / log.FILE).exists() else []
        return cls(sum(row.get("seconds", 0) for row in rows) / 60)

    def write(self, workdir: Path) -> None:
        """Keeps it beside the run's folder."""
        workdir.parent.mkdir(parents=True, exist_ok=True)
        workdir.with_name(f"{workdir.name}.minutes").write_text(f"{self.minutes:.4f}\n{self.processor:.4f}\n")


def spent(workdir: Path, command: list[str]) -> Clock:
    """Trains, unless the run has finished; returns how long it took.

    Raises:
      SystemExit: the training ended with another status than 0, or before its last step.
    """
    before = Clock.read(workdir)
    if grid.progress(workdir) == 1 and same_config(workdir, command):
        return before
    begun, used = time.perf_counter(), processor_seconds()
    try:
        status = ended(command)
    finally:
        minutes, processor = (time.perf_counter() - begun) / 60, (processor_seconds() - used) / 60
        clock = Clock(before.minutes + minutes, before.processor + processor)
        clock.write(workdir)
    if not status and grid.progress(workdir) < 1:  # a signal stopped it alone: train.py has saved
        status = STOPPED
    if status:
        sys.exit(status)
    return clock


def processor_seconds() -> float:
    """Seconds of the processes that this one has run to their end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def same_config(workdir: Path, command: Sequence[str]) -> bool:
    """Whether a run has the config of a command. Its length counts: train.py goes on to more steps."""
    file, *changes = (flag for flag in command if flag.startswith("--config"))
    wanted = config.plain(grid.read_config(workdir.name, (file, *changes)))
    return not record.differences(config.plain(restore.saved_config(workdir)), wanted, FREE)


@dataclass(frozen=True)
class Planned:
    """A run.

    Attributes:
      config: "configs/vit_digits.py".
      expected: what it should reach, in words.
      seed: config.seed.
      splits: which are scored at the end, each once.
      step: which checkpoint: last, best.
      flags: of train.py, beside the config.
    """

    config: str
    expected: str
    seed: int = 0
    splits: tuple[str, ...] = ("test",)
    step: str = "last"
    flags: tuple[str, ...] = ()


def workdir_of(path: Path, name: str) -> Path:
    """Where the run of an entry is kept. path: of the record."""
    return Path("runs", path.stem, name.replace(",", "").replace(" ", "-"))


def keep(
    path: Path,
    name: str,
    planned: Planned,
    folders: Mapping[str, str],
    about: record.Record,
    more: Callable[[Path], record.Record] = lambda workdir: {},
) -> None:
    """Trains and scores a run in runs/, where a second start goes on, and adds it to a record.

    Args:
      path: of the record; the runs are kept in a folder of its name.
      name: of the entry.
      folders: where the data are, by the config's key; the record says FOLDER in place of each.
      about: with what code, as `record.clean_provenance` says before the work begins.
      more: the workdir of the finished run -> what else is measured of it.

    Raises:
      SystemExit: the training or scoring ended with another status than 0.
    """
    workdir = workdir_of(path, name)
    command = ["train.py", f"--config={planned.config}", f"--config.seed={planned.seed}", *planned.flags]
    where = [f"--config.{key}={folder}" for key, folder in folders.items() if folder]
    clock = spent(ROOT / workdir, [*command, f"--workdir={workdir}", *where])
    saved = record.read(ROOT / workdir)
    run: record.Record = {
        "command": " ".join(["python", *command, *(f"--config.{key}=FOLDER" for key in folders if folders[key])]),
        "expected": planned.expected,
        "parameters": saved["parameters"],
        "GFLOP a step": round(saved["step_flops"] / 1e9, 3),
        "steps": saved["total_steps"],
        "seconds of the whole command": round(60 * clock.minutes, 1),
        "processor seconds": round(60 * clock.processor, 1),
        "devices": saved["devices"],
    }
    for split in planned.splits:
        score = [sys.executable, "evaluate.py", f"--workdir={workdir}", f"--step={planned.step}", "--json"]
        done = subprocess.run([*score, f"--split={split}"], cwd=ROOT, stdout=subprocess.PIPE)
        if done.returncode:
            sys.exit(done.returncode)
        scores = json.loads(done.stdout)
        run |= {"scored step": scores["step"]} | {key: value for key, value in scores.items() if "/" in key}
    run |= more(ROOT / workdir)
    others = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(others | {name: run | about}, indent=2) + "\n")
    print(json.dumps(run, indent=2), f"\nWritten to {path}.", flush=True)
