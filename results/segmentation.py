"""Trains and scores the segmenters: python results/segmentation.py [--camvid=FOLDER] [NAME ...]

Writes results/segmentation.json, an entry a run: the test split, by the step that the validation split chooses. NAME is
a key of RUNS; without any, all are run, one after the other. --camvid is the data of configs/swin_camvid.py. Runs are
kept in runs/segmentation/NAME.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError  # noqa: E402
from experiment import record  # noqa: E402

RECORD = ROOT / "results" / "segmentation.json"
EXPECTED = {
    "upernet_digits": "mean IoU at least 0.90 in half an hour on two cores",
    "segmenter_digits": "mean IoU at least 0.90 in half an hour on two cores",
    "swin_camvid": "mean IoU at least 0.50 in an hour on two cores, from no pre-training",
}
RUNS = {f"{config}, seed {seed}": (config, seed) for config in EXPECTED for seed in range(3)}


def main(names: list[str], camvid: str) -> None:
    """Trains and scores the named runs on the test split, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        config, seed = RUNS[name]
        if config == "swin_camvid" and not camvid:
            raise UserError("--camvid=FOLDER is needed: its train, validation and test have images/ and labels/.")
        workdir = Path("runs", "segmentation", name.replace(", ", "-").replace(" ", "-"))
        flags = [f"--config=configs/{config}.py", f"--config.seed={seed}"]
        data = [f"--config.data.name={camvid}"] if config == "swin_camvid" else []
        begun = time.perf_counter()
        train = [sys.executable, "train.py", f"--workdir={workdir}", *flags, *data]
        if status := subprocess.run(train, cwd=ROOT).returncode:
            sys.exit(status)
        seconds = time.perf_counter() - begun
        saved = record.read(ROOT / workdir)
        score = [sys.executable, "evaluate.py", f"--workdir={workdir}", "--step=best", "--split=test", "--json"]
        scores = json.loads(subprocess.run(score, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        run: record.Record = {
            "command": " ".join(["python train.py", *flags]) + " --config.data.name=FOLDER" * bool(data),
            "expected": EXPECTED[config],
            "parameters": saved["parameters"],
            "GFLOP a step": round(saved["step_flops"] / 1e9, 3),
            "steps": saved["total_steps"],
            "scored step": scores["step"],
            "seconds of the whole command": round(seconds, 1),
        }
        run |= {metric: value for metric, value in scores.items() if "/" in metric} | about
        others = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.write_text(json.dumps(others | {name: run}, indent=2) + "\n")
        print(json.dumps(run, indent=2), f"\nWritten to {RECORD}.", flush=True)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), camvid=dict(default=""))
