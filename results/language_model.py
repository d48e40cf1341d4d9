"""Trains and scores the GPT configs: python results/language_model.py [--data_dir=FOLDER] [NAME ...]

Writes results/language_model.json, an entry a run. NAME is a key of RUNS; without any, all are run, one after the
other. --data_dir is where TFDS has tiny_shakespeare. Runs are kept in runs/language_model/NAME.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from training import log  # noqa: E402

Row = record.Record
RECORD = ROOT / "results" / "language_model.json"
CPU = ("validation", "validation+test")  # nanoGPT's validation text is both


class Planned(NamedTuple):
    """A run: its config, the splits that are scored at the end, what is expected, the seed, and the scored step."""

    config: str
    splits: tuple[str, ...]
    expected: str
    seed: int = 0
    step: str = "last"


RUNS = {
    "shakespeare cpu": Planned(
        "configs/gpt_shakespeare.py:cpu",
        CPU,
        "nanoGPT's README: validation loss 1.88, about 3 minutes on a laptop. Its commands run on the machine of this "
        "record (torch 2.14.1): 72 s with --compile=False, 94 s with it, and 1.898 over its whole validation text",
    ),
    "shakespeare": Planned(
        "configs/gpt_shakespeare.py",
        CPU,
        "nanoGPT's README: validation loss 1.4697, the best of 5,000 steps, about 3 minutes on one A100",
        step="best",
    ),
    "python": Planned("configs/gpt_python.py", ("test",), "nothing is published"),
} | {
    f"modern cpu, seed {seed}": Planned(
        "configs/gpt_modern.py:cpu",
        CPU,
        "less than configs/gpt_shakespeare.py:cpu at the same arithmetic: 1.730",
        seed,
    )
    for seed in range(3)
}


def main(names: list[str], data_dir: str) -> None:
    """Trains and scores the named runs, and adds each to the record."""
    about = record.clean_provenance()
    data = [f"--config.data.data_dir={data_dir}"] if data_dir else []
    for name in commands.chosen(names, RUNS):
        config, splits, expected, seed, step = RUNS[name]
        workdir = Path("runs", "language_model", name.replace(",", "").replace(" ", "-"))
        flags = data if "python" not in config else []
        seeded = [f"--config.seed={seed}"] * (seed > 0)
        begun = time.perf_counter()
        status = subprocess.run(
            [sys.executable, "train.py", f"--config={config}", f"--workdir={workdir}", *flags, *seeded], cwd=ROOT
        ).returncode
        seconds = time.perf_counter() - begun
        if status:
            sys.exit(status)
        rows = log.read(ROOT / workdir)
        saved = record.read(ROOT / workdir)
        run: Row = {
            "command": " ".join(
                ["python train.py", f"--config={config}", *["--config.data.data_dir=DIR"] * bool(flags), *seeded]
            ),
            "expected": expected,
            "parameters": saved["parameters"],
            "GFLOP a step": round(saved["step_flops"] / 1e9, 3),
            "steps": saved["total_steps"],
            "seconds of the whole command": round(seconds, 1),
            "tokens a second in training": round(
                median(r["tokens_per_second"] for r in rows if r.get("tokens_per_second"))
            ),
        }
        for split in splits:
            scores = evaluate(workdir, f"--split={split}", f"--step={step}")
            run |= {metric: value for metric, value in scores.items() if "/" in metric}
            run["scored step"] = scores["step"]
        run |= about
        others = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.write_text(json.dumps(others | {name: run}, indent=2) + "\n")
        print(json.dumps(run, indent=2), f"\nWritten to {RECORD}.", flush=True)


def evaluate(workdir: Path, *flags: str) -> Row:
    """The JSON of evaluate.py."""
    command = [sys.executable, "evaluate.py", f"--workdir={workdir}", "--json", *flags]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), data_dir=dict(default=""))
