"""Trains and scores the video models on digits that move: python results/video.py [NAME ...]

Writes results/video.json, an entry a run: the test split after the last step. NAME is a key of RUNS; without any, all
are run, one after the other. Runs are kept in runs/video/NAME; those after VideoMAE begin with runs/video/pretrain.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

RECORD = ROOT / "results" / "video.json"
PRETRAINED = Path("runs", "video", "pretrain")
AFTER = "2,000 clips after VideoMAE"
BESIDE = "measured beside joint, with its cost"
EXPECTED = {
    "joint": ("configs/vivit_digits.py", "direction and digit at least 97 % in an hour on two cores"),
    "factorised": ("configs/vivit_digits.py:both+factorised", BESIDE),
    "divided": ("configs/timesformer_digits.py", BESIDE),
    "2,000 clips": ("configs/video_mae_digits.py:finetune", "measured beside the next"),
    AFTER: ("configs/video_mae_digits.py:finetune", "above the same model from scratch, for every seed"),
}
RUNS = {"pretrain": trained.Planned("configs/video_mae_digits.py", "a third of the loss of its first 100 steps")}
RUNS |= {
    f"{name}, seed {seed}": trained.Planned(config, expected, seed)
    for name, (config, expected) in EXPECTED.items()
    for seed in range(3)
}


def main(names: list[str]) -> None:
    """Trains and scores the named runs on the test split, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        after = name.startswith(AFTER)
        if after and not (ROOT / PRETRAINED).is_dir():
            raise UserError(f"{name!r} begins with the weights of 'pretrain': run that one before.")
        trained.keep(RECORD, name, RUNS[name], {"init_from": str(PRETRAINED)} if after else {}, about)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"))
