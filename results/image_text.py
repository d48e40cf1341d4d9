"""What two modalities are worth together: python results/image_text.py [--seeds=3]

One encoder over patches and words (configs/image_text_digits.py) answers which digit is at the place that a sentence
names, and says whether a sentence fits an image; with both modalities, with the image alone and with the text alone, at
equal steps. Writes results/image_text.json. Runs are kept in runs/image_text, from which a second start resumes.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from studies import grid  # noqa: E402

RECORD, RUNS = ROOT / "results" / "image_text.json", Path("runs", "image_text")
QUESTIONS, READS = ("which", "fits"), ("both", "image", "text")


def run(question: str, reads: str, seed: int, flags: list[str]) -> record.Record:
    """Trains, unless it is done, and returns the test accuracy, with its command."""
    workdir = RUNS / f"{question}-{reads}-{seed}"
    config = f"--config=configs/image_text_digits.py:{question}"
    command = ["train.py", config, f"--config.model.reads={reads}", f"--config.seed={seed}", *flags]
    begun = time.perf_counter()
    if grid.progress(ROOT / workdir) < 1:
        done = subprocess.run([sys.executable, *command, f"--workdir={workdir}"], cwd=ROOT)
        if done.returncode:
            sys.exit(done.returncode)
    rows = [json.loads(line) for line in (ROOT / workdir / "metrics.jsonl").read_text().splitlines()]
    accuracy = [row["test/accuracy"] for row in rows if "test/accuracy" in row][-1]
    minutes = round((time.perf_counter() - begun) / 60, 1)
    return {"command": " ".join(["python", *command]), "accuracy": accuracy, "minutes": minutes}


def main(seeds: int, flags: list[str]) -> int:
    """Trains everything and writes the record. flags: further ones of train.py, for a trial. Returns the status."""
    about = record.clean_provenance()
    found: record.Record = {
        "expected": "both modalities at least 95 %; the image alone or the text alone far below, as chance has it"
    }
    for question in QUESTIONS:
        found[question] = {}
        for reads in READS:
            runs = [run(question, reads, seed, flags) for seed in range(seeds)]
            found[question][reads] = {
                "command": runs[0]["command"],
                "test/accuracy": [one["accuracy"] for one in runs],
                "minutes": [one["minutes"] for one in runs],
            }
    RECORD.write_text(json.dumps(found | about, indent=2) + "\n")
    accuracy = {q: {reads: found[q][reads]["test/accuracy"] for reads in READS} for q in QUESTIONS}
    print(json.dumps(accuracy, indent=2), f"\nWritten to {RECORD}.")
    return 0 if min(min(accuracy[q]["both"]) for q in QUESTIONS) >= 0.95 else 1


if __name__ == "__main__":
    flags = dict(nargs="*", metavar="FLAG", default=[])
    commands.script(main, __doc__, seeds=dict(type=int, default=1), flags=flags)
