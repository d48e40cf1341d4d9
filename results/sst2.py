"""Trains and scores a small Transformer encoder on SST-2, from scratch: python results/sst2.py [--data_dir=FOLDER]

Adds an entry a seed to results/sst2.json: GLUE's validation split, whose sentences choose nothing, at the last step of
one epoch, where an earlier run of four was best. --data_dir is where TFDS has glue/sst2. Runs are kept in
runs/sst2/NAME.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

RECORD = ROOT / "results" / "sst2.json"
EXPECTED = "at least 83.5 % (a convolutional network from scratch, 1408.5882, on the test split)"
RUNS = {
    f"seed {seed}": trained.Planned(
        "configs/encoder_sst2.py", EXPECTED, seed, ("validation",), flags=("--config.epochs=1.0",)
    )
    for seed in range(3)
}


def main(names: list[str], data_dir: str) -> None:
    """Trains and scores the named seeds, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        trained.keep(RECORD, name, RUNS[name], {"data.data_dir": data_dir}, about)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), data_dir=dict(default=""))
