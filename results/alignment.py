"""How often attention links other words than it should: python results/alignment.py [NAME ...]

Models learn to write sequences of numbers backwards, where it is known which source number each target number is: the
last target number is the first source number. The alignment error rate of the test split's first pairs (visualize.py
alignment) is recorded in results/alignment.json, an entry a run. NAME is a key of RUNS; without any, all are run. Runs
are kept in runs/alignment/NAME, from which a second start resumes.
"""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from data.text import reverse  # noqa: E402
from experiment import record  # noqa: E402
from results import recorded, trained  # noqa: E402
from training import log  # noqa: E402

RECORD = ROOT / "results" / "alignment.json"
PAIRS = 500
RUNS = {
    "Transformer": "configs/transformer_reverse.py",
    "GRU, Bahdanau": "configs/seq2seq_reverse.py:gru+bahdanau",
    "GRU, Luong": "configs/seq2seq_reverse.py:gru+luong_general",
}


def main(names: list[str]) -> None:
    """Trains the named models, draws their alignment, and adds each to the record."""
    about = record.clean_provenance()
    for name in commands.chosen(names, RUNS):
        workdir = ROOT / "runs" / "alignment" / name.replace(", ", "-")
        train = ["train.py", f"--config={RUNS[name]}", f"--workdir={workdir.relative_to(ROOT)}"]
        draw = ["visualize.py", f"--workdir={workdir.relative_to(ROOT)}", "alignment", *gold(workdir.parent)]
        print(f"python {' '.join(train)}", flush=True)
        trained.spent(workdir, train)
        if status := trained.ended(draw):
            sys.exit(status)
        with np.load(workdir / "figures" / "alignment.npz", allow_pickle=False) as arrays:
            rate, pairs = float(arrays["alignment_error_rate"]), int(arrays["pairs"])
        score = log.read(workdir)[-1]
        found = {
            "command": f"python {' '.join(train)}",
            "alignment_error_rate": round(rate, 4),
            "pairs": pairs,
            "parameters": record.read(workdir)["parameters"],
            **{key: value for key, value in score.items() if key.startswith(("validation/", "test/"))},
            **about,
        }
        others = recorded.read("alignment") if RECORD.exists() else {}
        RECORD.write_text(json.dumps(others | {name: found}, indent=1) + "\n")
        print(json.dumps(found, indent=1), f"\nWritten to {RECORD}.", flush=True)


def gold(folder: Path) -> list[str]:
    """Writes pairs of the test split with their links, and returns the flags that name the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = reverse.pairs("", "test", "", ("numbers", "reversed"))[:PAIRS]
    links = [" ".join(f"{i}-{n - 1 - i}" for i in range(n)) for n in (len(source.split()) for source, _ in pairs)]
    flags = []
    for name, lines in (
        ("gold", links),
        ("source", [source for source, _ in pairs]),
        ("target", [target for _, target in pairs]),
    ):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
        flags.append(f"--{name}={(folder / f'{name}.txt').relative_to(ROOT)}")
    return flags


if __name__ == "__main__":
    commands.script(main, __doc__, names=dict(nargs="*", metavar="NAME"))
