"""Trains and scores models of images and texts: python results/clip.py [--flickr8k=FOLDER] [NAME ...]

Writes results/clip.json, an entry a run: the test split, by the step that the validation split chooses. NAME is a key
of RUNS; without any, all are run, one after the other. --flickr8k is the data of configs/clip_flickr8k.py. Runs are
kept in runs/clip/NAME, with the figure `retrieval` of the test split.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from errors import UserError  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

RECORD = ROOT / "results" / "clip.json"
EXPECTED = {
    "glyphs": "zero-shot accuracy on held-out combinations at least 10 times that of chance",
    "flickr8k": "image to text R@10 at least 0.15 and text to image R@10 at least 0.12 in an hour on two cores "
    "(chance 0.01)",
}
RUNS = {
    f"{name}{variant.replace(':', ' ')}, seed {seed}": trained.Planned(
        f"configs/clip_{name}.py{variant}", expected, seed, step="best"
    )
    for name, expected in EXPECTED.items()
    for variant in ("", ":siglip")
    for seed in range(3)
}


def main(names: list[str], flickr8k: str) -> None:
    """Trains and scores the named runs on the test split, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        needs = "flickr8k" in name
        if needs and not flickr8k:
            raise UserError("--flickr8k=FOLDER is needed: its train, validation and test have images and captions.")
        trained.keep(RECORD, name, RUNS[name], {"data.name": flickr8k} if needs else {}, about)
        workdir = Path("runs", RECORD.stem, name.replace(",", "").replace(" ", "-"))
        test = "--config.data.eval_splits=('test',)"
        if status := trained.ended(["visualize.py", f"--workdir={workdir}", "--step=best", test, "retrieval"]):
            sys.exit(status)


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), flickr8k=dict(default=""))
