"""Trains and scores the detectors: python results/detection.py [--data_dir=FOLDER] [NAME ...]

Writes results/detection.json, an entry a run. NAME is a key of RUNS; without any, all are run, one after the other.
--data_dir is where TFDS has bccd. Runs are kept in runs/detection/NAME.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

RECORD = ROOT / "results" / "detection.json"
EXPECTED = {
    "digits": "AP at least 0.80 and AP50 at least 0.97 in an hour on two cores",
    "bccd": "AP50 at least 0.75 in an hour, from no pre-training",
}
RUNS = {
    f"{name}, seed {seed}": trained.Planned(f"configs/detr_{name}.py", expected, seed)
    for name, expected in EXPECTED.items()
    for seed in range(3)
}


def main(names: list[str], data_dir: str) -> None:
    """Trains and scores the named runs on the test split, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        trained.keep(RECORD, name, RUNS[name], {"data.data_dir": data_dir} if "bccd" in name else {}, about)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), data_dir=dict(default=""))
