"""Trains and scores the segmenters: python results/segmentation.py [--camvid=FOLDER] [NAME ...]

Writes results/segmentation.json, an entry a run: the test split, by the step that the validation split chooses. NAME is
a key of RUNS; without any, all are run, one after the other. --camvid is the data of configs/swin_camvid.py. Runs are
kept in runs/segmentation/NAME.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

RECORD = ROOT / "results" / "segmentation.json"
EXPECTED = {
    "upernet_digits": "mean IoU at least 0.90 in half an hour on two cores",
    "upernet_digits:swin": "mean IoU at least 0.90 in an hour on two cores",
    "segmenter_digits": "mean IoU at least 0.90 in half an hour on two cores",
    "swin_camvid": "mean IoU at least 0.50 in an hour on two cores, from no pre-training",
}
RUNS = {
    f"{config}, seed {seed}": trained.Planned(f"configs/{file}.py{colon}{variant}", expected, seed, step="best")
    for config, expected in EXPECTED.items()
    for file, colon, variant in (config.partition(":"),)
    for seed in range(3)
}


def main(names: list[str], camvid: str) -> None:
    """Trains and scores the named runs on the test split, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        needs = "camvid" in name
        if needs and not camvid:
            raise UserError("--camvid=FOLDER is needed: its train, validation and test have images/ and labels/.")
        trained.keep(RECORD, name, RUNS[name], {"data.name": camvid} if needs else {}, about)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), camvid=dict(default=""))
