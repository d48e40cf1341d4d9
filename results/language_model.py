"""Trains and scores the GPT configs: python results/language_model.py [--data_dir=FOLDER] [NAME ...]

Writes results/language_model.json, an entry a run. NAME is a key of RUNS; without any, all are run, one after the
other. --data_dir is where TFDS has tiny_shakespeare. Runs are kept in runs/language_model/NAME, from which a second
start resumes.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results.trained import Planned, keep  # noqa: E402

RECORD = ROOT / "results" / "language_model.json"
SPLITS = ("validation", "validation+test")  # nanoGPT's validation text is both
SEEDS = range(3)
RUNS = (
    {
        f"shakespeare cpu, seed {seed}": Planned(
            "configs/gpt_shakespeare.py:cpu",
            "nanoGPT's README: validation loss 1.88, about 3 minutes on a laptop. Its commands run on two cores "
            "(torch 2.14.1): 72 s with --compile=False, 94 s with it, and 1.898 over its whole validation text",
            seed,
            SPLITS,
        )
        for seed in SEEDS
    }
    | {
        f"modern cpu, seed {seed}": Planned(
            "configs/gpt_modern.py:cpu",
            "less than configs/gpt_shakespeare.py:cpu at the same arithmetic",
            seed,
            SPLITS,
        )
        for seed in SEEDS
    }
    | {
        "shakespeare": Planned(
            "configs/gpt_shakespeare.py",
            "nanoGPT's README: validation loss 1.4697, the best of 5,000 steps, about 3 minutes on one A100",
            0,
            SPLITS,
            step="best",
        ),
        "python": Planned("configs/gpt_python.py", "nothing is published"),
    }
)


def main(names: list[str], data_dir: str) -> None:
    """Trains and scores the named runs, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        folders = {"data.data_dir": data_dir} if name != "python" else {}  # whose texts every machine has
        keep(RECORD, name, RUNS[name], folders, about)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), data_dir=dict(default=""))
