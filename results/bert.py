"""Whether BERT's pre-training helps on SST-2: python results/bert.py [--data_dir=FOLDER] [--size=Tiny] [--steps=10000]

A masked language model learns from SST-2's 67,349 phrases without their labels; then the same model learns the labels,
all or the first 2,000 of them, once from its weights and once from scratch, with equal steps, settings and tokenizer,
for three seeds. Writes results/bert.json. Runs are kept in runs/bert, from which a second start resumes.
"""

import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results.trained import run  # noqa: E402

Row = record.Record
RECORD, RUNS = ROOT / "results" / "bert.json", Path("runs", "bert")
SEEDS = 3
LABELS = {"all labels": ("train", 2000), "2,000 labels": ("train[:2000]", 400)}  # the split, and steps
STARTS = ("fine-tuned", "from scratch")


def main(data_dir: str, size: str, steps: int) -> int:
    """Trains everything and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    data = [f"--config.data.data_dir={data_dir}"] if data_dir else []
    keep = ["--config.checkpoint.keep_best="]
    first = f"pretrained-{size}-{steps}"
    pretrain = [f"--config=configs/bert_pretrain.py:sst2+{size}", f"--config.steps={steps}"]
    pretrain.append(f"--config.optim.warmup_steps={steps // 10}")
    result: Row = {
        "expected": "fine-tuned better than from scratch at equal steps, for every seed",
        "pre-training": run(RUNS / first, [*pretrain, *keep], data),
    }
    better = True
    for labels, (split, tuned_steps) in LABELS.items():
        tune = [f"--config=configs/bert_finetune.py:sst2+{size}", "--config.epochs=0", f"--config.steps={tuned_steps}"]
        tune += [f"--config.optim.warmup_steps={tuned_steps // 10}", "--config.evaluation.every_steps=0", *keep]
        tune += [f"--config.data.train_split={split}", f"--config.data.tokenizer={RUNS / first}"]
        result[labels] = {}
        for start in STARTS:
            flags = [*tune, *([f"--config.init_from={RUNS / first}"] if start == "fine-tuned" else [])]
            name = f"{start.replace(' ', '-')}-{size}-{steps}-{split.strip('train[:]') or 'all'}"
            found = [run(RUNS / f"{name}-{seed}", [*flags, f"--config.seed={seed}"], data) for seed in range(SEEDS)]
            accuracies = [one["validation/accuracy"] for one in found]
            result[labels][start] = {
                "command": found[0]["command"],
                "minutes": [one["minutes"] for one in found],
                "validation/accuracy": accuracies,
                "mean": round(statistics.mean(accuracies), 4),
                "deviation": round(statistics.stdev(accuracies), 4),
            }
        tuned, scratch = (result[labels][start]["validation/accuracy"] for start in STARTS)
        better &= all(a > b for a, b in zip(tuned, scratch, strict=True))
    result |= about
    RECORD.write_text(json.dumps(result, indent=2) + "\n")
    print(
        json.dumps({label: {s: result[label][s]["validation/accuracy"] for s in STARTS} for label in LABELS}, indent=2)
    )
    print(f"Written to {RECORD}.")
    return 0 if better else 1


if __name__ == "__main__":
    commands.script(
        main, __doc__, data_dir=dict(default=""), size=dict(default="Tiny"), steps=dict(default=10_000, type=int)
    )
