"""What two modalities are worth together: python results/image_text.py [--seeds=3]

One encoder over patches and words (configs/image_text_digits.py) answers which digit is at the place that a sentence
names, and then, beginning with these weights, says whether a sentence fits an image; with both modalities, with the
image alone and with the text alone, at equal steps. Writes results/image_text.json. Runs are kept in runs/image_text,
from which a second start resumes. A trial, which writes no record: --steps=4 [-- FLAG ...] of train.py.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

RECORD, RUNS = ROOT / "results" / "image_text.json", Path("runs", "image_text")
CONFIG = "configs/image_text_digits.py"
QUESTIONS = {"which": CONFIG, "fits": f"{CONFIG}:fits"}  # the second begins with the weights of the first
READS = ("both", "image", "text")


def run(folder: Path, question: str, reads: str, seed: int, flags: list[str]) -> record.Record:
    """Trains, unless it is done, and returns the test accuracy, with its command."""
    workdir, before = (folder / f"{one}-{reads}-{seed}" for one in (question, "which"))
    start = [f"--config.init_from={before}"] if before != workdir else []
    command = [
        "train.py",
        f"--config={QUESTIONS[question]}",
        f"--config.model.reads={reads}",
        f"--config.seed={seed}",
        *start,
        *flags,
    ]
    trained.spent(ROOT / workdir, [*command, f"--workdir={workdir}"])
    rows = [json.loads(line) for line in (ROOT / workdir / "metrics.jsonl").read_text().splitlines()]
    return {
        "command": " ".join(["python", *command]),
        "accuracy": [row["test/accuracy"] for row in rows if "test/accuracy" in row][-1],
        "minutes": round(sum(row.get("seconds", 0) for row in rows) / 60, 1),
    }


def main(seeds: int, steps: int, flags: list[str]) -> int:
    """Trains everything and writes the record. steps: of a trial; 0 for the config's own. flags: further ones of
    train.py, for a trial. Returns the status."""
    about = record.clean_provenance()
    if steps:
        flags = [f"--config.steps={steps}", f"--config.optim.warmup_steps={steps // 4}", *flags]
    folder = RUNS / f"trial-{steps}" if flags else RUNS
    found: record.Record = {
        "expected": "both modalities at least 95 %; the image alone or the text alone far below, as chance has it"
    }
    for question in QUESTIONS:
        found[question] = {}
        for reads in READS:
            runs = [run(folder, question, reads, seed, flags) for seed in range(seeds)]
            found[question][reads] = {
                "command": runs[0]["command"],
                "test/accuracy": [one["accuracy"] for one in runs],
                "minutes of training steps": [one["minutes"] for one in runs],
            }
    accuracy = {q: {reads: found[q][reads]["test/accuracy"] for reads in READS} for q in QUESTIONS}
    print(json.dumps(accuracy, indent=2))
    if flags:
        print("A trial: no record is written.")
        return 0
    RECORD.write_text(json.dumps(found | about, indent=2) + "\n")
    print(f"Written to {RECORD}.")
    return 0 if min(min(accuracy[q]["both"]) for q in QUESTIONS) >= 0.95 else 1


if __name__ == "__main__":
    commands.script(
        main,
        __doc__,
        seeds=dict(type=int, default=1),
        steps=dict(type=int, default=0),
        flags=dict(nargs="*", metavar="FLAG", default=[]),
    )
