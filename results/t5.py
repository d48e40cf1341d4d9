"""Whether T5's pre-training helps on dates: python results/t5.py [--steps=4000] [--tuned_steps=300]

A small T5 learns to fill in hidden spans of the training dates of transformer_dates, as people write them and as ISO
8601 does, which are not paired. Then the same model learns to translate the first 1,000 pairs, once from its weights
and once from scratch, with equal steps, settings and tokenizer, for three seeds. Offline. Writes results/t5.json. Runs
are kept in runs/t5, from which a second start resumes. About 15 minutes on two cores.
"""

import json
import random
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from data.text import dates  # noqa: E402
from experiment import record  # noqa: E402
from studies import grid  # noqa: E402

Row = record.Record
RECORD, RUNS = ROOT / "results" / "t5.json", Path("runs", "t5")
TEXTS = RUNS / "dates"
SEEDS, PAIRS = 3, 1000
LANGUAGES = ("date", "iso")
STARTS = ("fine-tuned", "from scratch")
METRICS = ("validation/exact_match", "validation/accuracy", "validation/loss")
SIZE = ["--config.model.width=96", "--config.model.mlp_dim=128", "--config.model.heads=4", "--config.model.head_dim=24"]


def write_texts() -> None:
    """The dates as files: pairs, and for the pre-training both sides' lines in an order that tells no pair."""
    folder = ROOT / TEXTS
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation"):
        sides = list(zip(*dates.pairs("", split, "", LANGUAGES), strict=True))
        for language, lines in zip(LANGUAGES, sides, strict=True):
            (folder / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines))
        texts = [*sides[0], *sides[1]]
        random.Random(0).shuffle(texts)
        (folder / f"{split}.txt").write_text("".join(f"{text}\n" for text in texts))


def run(name: str, flags: list[str]) -> Row:
    """Trains, unless it is done, and returns the last evaluation's metrics."""
    workdir = RUNS / name
    command = ["train.py", *flags, f"--workdir={workdir}"]
    begun = time.perf_counter()
    if grid.progress(ROOT / workdir) < 1 and subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
        sys.exit(1)
    rows = [json.loads(line) for line in (ROOT / workdir / "metrics.jsonl").read_text().splitlines()]
    metrics = {key: row[key] for row in rows for key in METRICS if key in row}
    minutes = round((time.perf_counter() - begun) / 60, 1)
    return {"command": shlex.join(["python", *command]), "minutes": minutes} | metrics


def main(steps: int, tuned_steps: int) -> int:
    """Trains everything and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    write_texts()
    first = f"pretrained-{steps}"
    files = ["--config.data.source=files", f"--config.data.name={TEXTS}"]
    keep = ["--config.checkpoint.keep_best=", "--config.evaluation.every_steps=0"]
    pretrain = ["--config=configs/t5_pretrain.py", *SIZE, f"--config.steps={steps}", *files, *keep]
    pretrain += ["--config.data.vocabulary_size=800", f"--config.optim.warmup_steps={steps // 10}"]
    tune = ["--config=configs/t5_dates.py", "--config.epochs=0", f"--config.steps={tuned_steps}", *files, *keep]
    tune += [f"--config.data.train_split=train[:{PAIRS}]", "--config.data.eval_splits=('validation',)"]
    tune += [f"--config.data.tokenizer={RUNS / first}", f"--config.optim.warmup_steps={tuned_steps // 10}"]
    result: Row = {
        "expected": "more dates right than from scratch at equal steps, for every seed",
        "pre-training": run(first, pretrain),
    }
    for start in STARTS:
        flags = [*tune, *([f"--config.init_from={RUNS / first}"] if start == "fine-tuned" else [])]
        name = f"{start.replace(' ', '-')}-{steps}-{tuned_steps}"
        found = [run(f"{name}-{seed}", [*flags, f"--config.seed={seed}"]) for seed in range(SEEDS)]
        right = [one["validation/exact_match"] for one in found]
        result[start] = {
            "command": found[0]["command"],
            "minutes": [one["minutes"] for one in found],
            **{metric: [one[metric] for one in found] for metric in METRICS},
            "mean": round(statistics.mean(right), 4),
            "deviation": round(statistics.stdev(right), 4),
        }
    result |= about
    RECORD.write_text(json.dumps(result, indent=2) + "\n")
    tuned, scratch = (result[start]["validation/exact_match"] for start in STARTS)
    print(json.dumps({start: result[start]["validation/exact_match"] for start in STARTS}, indent=2))
    print(f"Written to {RECORD}.")
    return 0 if all(a > b for a, b in zip(tuned, scratch, strict=True)) else 1


if __name__ == "__main__":
    commands.script(main, __doc__, steps=dict(default=4000, type=int), tuned_steps=dict(default=300, type=int))
