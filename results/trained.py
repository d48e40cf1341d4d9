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

from experiment import record  # noqa: E402
from studies import grid  # noqa: E402


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


def spent(workdir: Path, command: list[str]) -> float:
    """Trains, unless this command has finished; returns the minutes it took, with those of earlier starts."""
    clock, words = workdir.with_name(f"{workdir.name}.minutes"), shlex.join(command)
    before, _, last = clock.read_text().partition("\n") if clock.exists() else ("0", "", "")
    if last == words and grid.progress(workdir) == 1:
        return float(before)
    begun = time.perf_counter()
    if status := subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
        sys.exit(status)
    minutes = float(before) + (time.perf_counter() - begun) / 60
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.write_text(f"{minutes}\n{words}")
    return minutes


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
    begun = time.perf_counter()
    if status := subprocess.run([sys.executable, *command, f"--workdir={workdir}", *where], cwd=ROOT).returncode:
        sys.exit(status)
    seconds, saved = time.perf_counter() - begun, record.read(ROOT / workdir)
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
