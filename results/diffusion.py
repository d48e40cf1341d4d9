"""Trains and scores the diffusion Transformers: python results/diffusion.py [--data_dir=FOLDER] [NAME ...]

Writes results/diffusion.json, an entry a run: how many of the drawn images a network of ours takes for the class that
was asked for, with guidance, and their Fréchet distance from images of the test split, with the weights' moving average
and without it (tasks/sample_quality.py). Samples beside the nearest training images go to results/diffusion/NAME.png.
NAME is a key of RUNS; without any, all are run, one after the other. --data_dir is of Fashion-MNIST. Runs are kept in
runs/diffusion/NAME.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record, restore, scoring  # noqa: E402
from results import trained  # noqa: E402

RECORD, PICTURES = ROOT / "results" / "diffusion.json", ROOT / "results" / "diffusion"
EXPECTED = "at least 90 % recognised with guidance; distances with and without the moving average"
SETS = {"digits": ("dit_digits", "test"), "fashion": ("dit_fashion_mnist", "test[:2000]")}
RUNS = {
    f"{name} {path}, seed {seed}": trained.Planned(f"configs/{config}.py:{path}", EXPECTED, seed, (split,))
    for name, (config, split) in SETS.items()
    for path in ("flow", "diffusion")
    for seed in range(3)
}


def main(names: list[str], data_dir: str) -> None:
    """Trains and scores the named runs, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        folders = {"data.data_dir": data_dir} if name.startswith("fashion") else {}

        def more(workdir: Path, name: str = name) -> record.Record:
            """What no command says."""
            return {"without the moving average": scored_without(workdir)} | pictured(workdir, name)

        trained.keep(RECORD, name, RUNS[name], folders, about, more)


def scored_without(workdir: Path) -> record.Record:
    """The metrics of a run's last weights as they are, where others are of their moving average."""
    run, state, _ = restore.load(workdir, from_data=True)
    return scoring.score(run, replace(state, ema={}), slow=True)[0]


def pictured(workdir: Path, name: str) -> record.Record:
    """Keeps the picture of a run's last evaluation."""
    steps = sorted((workdir / "figures").iterdir(), key=lambda folder: int(folder.name))
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"{name.replace(',', '').replace(' ', '-')}.png"
    shutil.copyfile(steps[-1] / "samples.png", path)
    return {"picture": str(path.relative_to(ROOT))}


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"), data_dir=dict(default=""))
