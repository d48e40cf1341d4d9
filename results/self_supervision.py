"""Self-supervised pre-training of a ViT on Fashion-MNIST: python results/self_supervision.py [--data_dir=FOLDER]

A masked autoencoder, and a model that predicts the mean colours of corrupted patches, are trained without labels. They
are compared with random weights by a linear classifier on frozen features, with all training images; by few-shot ridge
regression; and by fine-tuning on 1,000 labelled images, for three seeds. Writes results/self_supervision.json. Runs are
kept in runs/self_supervision, from which a second start resumes.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results.trained import run  # noqa: E402

Row = record.Record
RECORD = ROOT / "results" / "self_supervision.json"
RUNS = Path("runs", "self_supervision")
PRETRAIN = {
    "mae": ["--config=configs/mae_fashion_mnist.py", "--config.epochs=4"],
    "mean_color": ["--config=configs/mae_fashion_mnist.py:mean_color", "--config.epochs=2"],
}
PROBE = [
    *("--config=configs/vit_fashion_mnist.py", '--config.step.frozen=("(?!head/).*",)', "--config.epochs=1"),
    *("--config.optim.learning_rate=0.02", "--config.optim.weight_decay=0.0", "--config.optim.warmup_steps=50"),
    *("--config.task.label_smoothing=0.0", "--config.evaluation.fewshot.shots=(10,)"),
]
SEEDS = 3
FINETUNE = [
    *("--config=configs/vit_fashion_mnist.py", "--config.data.train_examples=1000", "--config.steps=300"),
    *("--config.optim.warmup_steps=60", "--config.evaluation.every_steps=0", "--config.checkpoint.keep_best="),
]


def main(data_dir: str) -> int:
    """Trains everything and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    data = [f"--config.data.data_dir={data_dir}"] if data_dir else []
    result: Row = {
        "expected": "a linear classifier on what was learned beats one on a random network by 10 points, "
        "and fine-tuning it beats training from scratch for every seed"
    }
    for name, flags in PRETRAIN.items():
        result[name] = run(RUNS / name, flags, data)
    for name in ("random", *PRETRAIN):
        start = [] if name == "random" else [f"--config.init_from={RUNS / name}"]
        result[f"linear probe of {name}"] = run(RUNS / f"probe_{name}", [*PROBE, *start], data)
        runs = [
            run(RUNS / f"finetune_{name}-{seed}", [*FINETUNE, *start, f"--config.seed={seed}"], data)
            for seed in range(SEEDS)
        ]
        result[f"fine-tuned {name}"] = {
            "command": runs[0]["command"],
            "test/accuracy": [seed["test/accuracy"] for seed in runs],
        }
    probe = {name: result[f"linear probe of {name}"]["test/accuracy"] for name in ("random", *PRETRAIN)}
    tuned = {name: result[f"fine-tuned {name}"]["test/accuracy"] for name in ("random", *PRETRAIN)}
    result |= {"accuracy": {"linear probe": probe, "fine-tuned": tuned}}
    result |= about
    RECORD.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["accuracy"], indent=2), f"\nWritten to {RECORD}.")
    better = all(a > b for name in PRETRAIN for a, b in zip(tuned[name], tuned["random"], strict=True))
    return 0 if better and probe["mae"] >= probe["random"] + 0.1 else 1


if __name__ == "__main__":
    commands.script(main, __doc__, data_dir=dict(default=""))
