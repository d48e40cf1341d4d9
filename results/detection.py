"""Trains and scores the detectors: python results/detection.py [--data_dir=FOLDER] [NAME ...]

Writes results/detection.json, an entry a run. NAME is a key of RUNS; without any, all are run, one after the other.
--data_dir is where TFDS has bccd. Runs are kept in runs/detection/NAME.
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
from experiment import record  # noqa: E402

RECORD = ROOT / "results" / "detection.json"


class Planned(NamedTuple):
    """A run: its config, what is expected, and the seed."""

    config: str
    expected: str
    seed: int


RUNS = {
    f"{name}, seed {seed}": Planned(f"configs/detr_{name}.py", expected, seed)
    for name, expected in (
        ("digits", "AP at least 0.80 and AP50 at least 0.97 in an hour on two cores"),
        ("bccd", "AP50 at least 0.75 in an hour, from no pre-training"),
    )
    for seed in range(3)
}


def main(names: list[str], data_dir: str) -> None:
    """Trains and scores the named runs on the test split, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        config, expected, seed = RUNS[name]
        workdir = Path("runs", "detection", name.replace(",", "").replace(" ", "-"))
        flags = [f"--config.data.data_dir={data_dir}"] if data_dir and "bccd" in config else []
        begun = time.perf_counter()
        command = [sys.executable, "train.py", f"--config={config}", f"--workdir={workdir}", f"--config.seed={seed}"]
        status = subprocess.run([*command, *flags], cwd=ROOT).returncode
        seconds = time.perf_counter() - begun
        if status:
            sys.exit(status)
        saved = record.read(ROOT / workdir)
        run: record.Record = {
            "command": f"python train.py --config={config} --config.seed={seed}"
            + " --config.data.data_dir=DIR" * bool(flags),
            "expected": expected,
            "parameters": saved["parameters"],
            "GFLOP a step": round(saved["step_flops"] / 1e9, 3),
            "steps": saved["total_steps"],
            "seconds of the whole command": round(seconds, 1),
        }
        score = [sys.executable, "evaluate.py", f"--workdir={workdir}", "--json", "--split=test"]
        scores = json.loads(subprocess.run(score, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        run |= {metric: value for metric, value in scores.items() if "/" in metric} | about
        others = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.write_text(json.dumps(others | {name: run}, indent=2) + "\n")
        print(json.dumps(run, indent=2), f"\nWritten to {RECORD}.", flush=True)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), data_dir=dict(default=""))
