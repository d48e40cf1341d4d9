"""Trains and scores the video models on digits that move: python results/video.py [NAME ...]

Writes results/video.json, an entry a run: the test split after the last step. NAME is a key of RUNS; without any, all
are run, one after the other. A run that begins with another's weights needs that one. Runs are kept in
runs/video/NAME, from which a second start resumes.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError  # noqa: E402
from experiment import record  # noqa: E402

RECORD = ROOT / "results" / "video.json"
RUNS_AT = Path("runs", "video")
BOTH = "direction and digit at least 97 % in an hour on two cores"
ABOVE = "above the same model from scratch, for every seed"


class Planned(NamedTuple):
    """A run: its config, what is expected, the seed, and the run whose weights it begins with."""

    config: str
    expected: str
    seed: int = 0
    start: str = ""


RUNS = {
    f"{name}, seed {seed}": Planned(config, expected, seed)
    for name, config, expected in (
        ("joint", "configs/vivit_digits.py", BOTH),
        ("factorised", "configs/vivit_digits.py:both+factorised", "measured beside joint, with its cost"),
        ("divided", "configs/timesformer_digits.py", "measured beside joint, with its cost"),
    )
    for seed in range(3)
}
RUNS |= {"pretrain": Planned("configs/video_mae_digits.py", "a loss below that of the training's beginning")}
FINETUNE = "configs/video_mae_digits.py:finetune"
RUNS |= {f"2,000 clips, seed {seed}": Planned(FINETUNE, "measured", seed) for seed in range(3)}
RUNS |= {f"2,000 clips after VideoMAE, seed {seed}": Planned(FINETUNE, ABOVE, seed, "pretrain") for seed in range(3)}


def workdir_of(name: str) -> Path:
    """Where a run is kept."""
    return RUNS_AT / name.replace(",", "").replace(" ", "-")


def main(names: list[str]) -> None:
    """Trains and scores the named runs on the test split, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        config, expected, seed, start = RUNS[name]
        if start and not (ROOT / workdir_of(start)).is_dir():
            raise UserError(f"{name!r} begins with the weights of {start!r}: run that one before.")
        flags = [f"--config={config}", f"--config.seed={seed}"]
        flags += [f"--config.init_from={workdir_of(start)}"] if start else []
        begun = time.perf_counter()
        command = [sys.executable, "train.py", *flags, f"--workdir={workdir_of(name)}"]
        if status := subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(status)
        seconds = time.perf_counter() - begun
        saved = record.read(ROOT / workdir_of(name))
        score = [sys.executable, "evaluate.py", f"--workdir={workdir_of(name)}", "--json", "--split=test"]
        scores = json.loads(subprocess.run(score, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        run: record.Record = {
            "command": " ".join(["python train.py", *flags]),
            "expected": expected,
            "parameters": saved["parameters"],
            "GFLOP a step": round(saved["step_flops"] / 1e9, 3),
            "steps": saved["total_steps"],
            "seconds of the whole command": round(seconds, 1),
        }
        run |= {metric: value for metric, value in scores.items() if "/" in metric} | about
        others = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.write_text(json.dumps(others | {name: run}, indent=2) + "\n")
        print(json.dumps(run, indent=2), f"\nWritten to {RECORD}.", flush=True)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"))
