"""Trains and scores models of images and texts: python results/clip.py [--flickr8k=FOLDER] [NAME ...]

Writes results/clip.json, an entry a run: the test split, by the step that the validation split chooses. NAME is a key of
RUNS; without any, all are run, one after the other. --flickr8k is the data of configs/clip_flickr8k.py. Runs are kept in
runs/clip/NAME, with the figure `retrieval` of the test split.
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

RECORD = ROOT / "results" / "clip.json"
GLYPHS = "zero-shot accuracy on held-out combinations at least 10 times that of chance"
FLICKR8K = "image to text R@10 at least 0.15 and text to image R@10 at least 0.12 in an hour on two cores (chance 0.01)"


class Planned(NamedTuple):
    """A run: its config, the split that is scored, what is expected, and the seed."""

    config: str
    split: str
    expected: str
    seed: int


RUNS = {
    f"{name}, seed {seed}": Planned(config, split, expected, seed)
    for name, config, split, expected in (
        ("glyphs", "clip_glyphs.py", "test", GLYPHS),
        ("glyphs siglip", "clip_glyphs.py:siglip", "test", GLYPHS),
        ("flickr8k", "clip_flickr8k.py", "test", FLICKR8K),
        ("flickr8k siglip", "clip_flickr8k.py:siglip", "test", FLICKR8K),
    )
    for seed in range(3)
}


def main(names: list[str], flickr8k: str, steps: int) -> None:
    """Trains and scores the named runs, and adds each to the record.

    Args:
      steps: fewer than the config's, to try this script: nothing is recorded then.
    """
    about = {} if steps else record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        config, split, expected, seed = RUNS[name]
        if "flickr8k" in config and not flickr8k:
            raise UserError("--flickr8k=FOLDER is needed: its train, validation and test have images and captions.")
        workdir = Path("runs", "clip", name.replace(",", "").replace(" ", "-"))
        flags = [f"--config=configs/{config}", f"--config.seed={seed}"]
        data = [f"--config.data.name={flickr8k}"] if "flickr8k" in config else []
        tried = [f"--config.steps={steps}", "--config.evaluation.every_steps=0"] if steps else []
        begun = time.perf_counter()
        train = [sys.executable, "train.py", f"--workdir={workdir}", *flags, *data, *tried]
        if status := subprocess.run(train, cwd=ROOT).returncode:
            sys.exit(status)
        seconds = time.perf_counter() - begun
        saved = record.read(ROOT / workdir)
        trained = [f"--workdir={workdir}", "--step=best"]
        score = [sys.executable, "evaluate.py", *trained, f"--split={split}", "--json"]
        scores = json.loads(subprocess.run(score, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        draw = [sys.executable, "visualize.py", *trained, f"--config.data.eval_splits=('{split}',)", "retrieval"]
        subprocess.run(draw, cwd=ROOT, check=True)
        run: record.Record = {
            "command": " ".join(["python train.py", *flags]) + " --config.data.name=FOLDER" * bool(data),
            "expected": expected,
            "parameters": saved["parameters"],
            "GFLOP a step": round(saved["step_flops"] / 1e9, 3),
            "steps": saved["total_steps"],
            "scored step": scores["step"],
            "seconds of the whole command": round(seconds, 1),
        }
        run |= {metric: value for metric, value in scores.items() if "/" in metric} | about
        print(json.dumps(run, indent=2), flush=True)
        if steps:
            continue
        others = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.write_text(json.dumps(others | {name: run}, indent=2) + "\n")
        print(f"Written to {RECORD}.", flush=True)


if __name__ == "__main__":
    options = dict(flickr8k=dict(default=""), steps=dict(type=int, default=0))
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), **options)
