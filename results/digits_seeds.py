"""Trains configs/vit_digits.py with three seeds and writes results/digits.json: python results/digits_seeds.py"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402

COMMAND = [sys.executable, "train.py", "--config=configs/vit_digits.py"]


def main() -> None:
    """Trains, and writes the record."""
    about = record.clean_provenance()
    runs = []
    for seed in range(3):
        with tempfile.TemporaryDirectory() as workdir:
            begun = time.perf_counter()
            subprocess.run([*COMMAND, f"--workdir={workdir}", f"--config.seed={seed}"], cwd=ROOT, check=True)
            last = json.loads((Path(workdir) / "metrics.jsonl").read_text().splitlines()[-1])
            devices = record.read(Path(workdir))["devices"]
        runs.append({"seed": seed, "seconds": round(time.perf_counter() - begun, 1)} | last)
    result = {
        "command": "python train.py --config=configs/vit_digits.py --config.seed=SEED",
        "expected": "test accuracy at least 0.98, mean of the seeds",
        "test/accuracy, mean": sum(run["test/accuracy"] for run in runs) / len(runs),
        "runs": runs,
        **about,
        "devices": devices,
    }
    path = ROOT / "results" / "digits.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"mean test accuracy {result['test/accuracy, mean']:.4f}; the record is {path}")


if __name__ == "__main__":
    commands.script(main, __doc__)
