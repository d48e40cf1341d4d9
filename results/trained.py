"""A config that is trained, scored and recorded, one entry a run: what the scripts beside this file share."""

import json
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
    minutes = round(spent(ROOT / workdir, [*command, *data]), 1)
    rows = [json.loads(line) for line in (ROOT / workdir / "metrics.jsonl").read_text().splitlines()]
    metrics = {key: value for row in rows for key, value in row.items() if "/" in key and not key.startswith("train/")}
    return {"command": shlex.join(["python", *command]), "minutes": minutes} | metrics


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


def spent(workdir: Path, command: list[str]) -> float:
    """Trains, unless the run has finished; returns the minutes it took, with those of starts that were interrupted.

    Raises:
      SystemExit: the training ended with another status than 0.
    """
    clock = workdir.with_name(f"{workdir.name}.minutes")
    minutes = float(clock.read_text().partition("\n")[0]) if clock.exists() else 0.0
    if grid.progress(workdir) == 1 and same_config(workdir, command):
        return minutes or sum(row.get("seconds", 0) for row in log.read(workdir)) / 60
    begun = time.perf_counter()
    try:
        status = ended(command)
    finally:
        minutes += (time.perf_counter() - begun) / 60
        clock.parent.mkdir(parents=True, exist_ok=True)
        clock.write_text(f"{minutes}\n")
    if status:
        sys.exit(status)
    return minutes


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
    seconds = 60 * spent(ROOT / workdir, [*command, f"--workdir={workdir}", *where])
    saved = record.read(ROOT / workdir)
    run: record.Record = {
        "command": " ".join(["python", *command, *(f"--config.{key}=FOLDER" for key in folders if folders[key])]),
        "expected": planned.expected,
        "parameters": saved["parameters"],
        "GFLOP a step": round(saved["step_flops"] / 1e9, 3),
        "steps": saved["total_steps"],
        "seconds of the whole command": round(seconds, 1),
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
