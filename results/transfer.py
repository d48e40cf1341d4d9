"""Whether pre-training helps: python results/transfer.py [--data_dir=FOLDER]

A ViT and a ResNet learn five classes of Fashion-MNIST, then the other five: fine-tuned, fine-tuned after a quarter of
the pre-training, and from scratch, with equal steps, for three seeds. Writes results/transfer.json. Runs are kept in
runs/transfer, from which a second start resumes.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from studies import grid  # noqa: E402

Row = record.Record
RECORD, RUNS = ROOT / "results" / "transfer.json", Path("runs", "transfer")
CONFIGS = {"ViT": "configs/vit_fashion_mnist.py", "BiT ResNet": "configs/resnet_fashion_mnist.py"}
SEEDS, PRETRAINED, LESS, STEPS, IMAGES = 3, 600, 150, 100, 1000
AFTER_LESS = f"fine-tuned after {LESS} steps"
FLAGS = [
    *("--config.data.source=arrays", "--config.data.train_split=train", "--config.checkpoint.keep_best="),
    "--config.evaluation.every_steps=0",
]


def halves(data_dir: str) -> tuple[Path, Path]:
    """Writes archives of the first five classes, and of the other five with IMAGES training images."""
    from data import sources

    paths = (RUNS / "first.npz", RUNS / "second.npz")
    (ROOT / RUNS).mkdir(parents=True, exist_ok=True)
    loaded = {}
    for split in ("train", "test"):
        source = sources.open("tfds", "fashion_mnist", split, data_dir, memory_limit_mb=1024)
        examples = source.read(np.arange(source.size))
        loaded[split] = (examples["image"].numpy(), examples["label"].numpy())
    for half, path in enumerate(paths):
        arrays: dict[str, np.ndarray] = {}
        for split, (images, labels) in loaded.items():
            chosen = np.flatnonzero(labels // 5 == half)[: IMAGES if half and split == "train" else None]
            arrays |= {f"{split}_images": images[chosen], f"{split}_labels": labels[chosen] % 5}
        np.savez(ROOT / path, **arrays)  # type: ignore[arg-type]
    return paths


def run(name: str, flags: list[str]) -> tuple[str, float]:
    """Trains, unless it is done. Returns the command and the final test accuracy."""
    workdir = RUNS / name
    command = ["train.py", *flags, *FLAGS, f"--workdir={workdir}"]
    if grid.progress(ROOT / workdir) < 1 and subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
        sys.exit(1)
    rows = [json.loads(line) for line in (ROOT / workdir / "metrics.jsonl").read_text().splitlines()]
    return f"python {' '.join(command)}", [row["test/accuracy"] for row in rows if "test/accuracy" in row][-1]


def main(data_dir: str) -> int:
    """Trains everything and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    first, second = halves(data_dir)
    result: Row = {"expected": "fine-tuned better than from scratch at equal steps, for every seed"}
    better = True
    for model, config in CONFIGS.items():
        short = lambda steps, seed, config=config: [  # noqa: E731
            *(f"--config={config}", f"--config.steps={steps}", f"--config.seed={seed}"),
            f"--config.optim.warmup_steps={steps // 5}",
        ]
        rows: Row = {"commands": []}  # those of the first seed
        for seed in range(SEEDS):
            name = f"{Path(config).stem}-{seed}"
            for start, flags in {
                "pre-trained": [*short(PRETRAINED, seed), f"--config.data.name={first}"],
                "fine-tuned": [
                    *short(STEPS, seed),
                    f"--config.data.name={second}",
                    f"--config.init_from={RUNS / f'{name}-pre-trained'}",
                ],
                "pre-trained less": [*short(LESS, seed), f"--config.data.name={first}"],
                AFTER_LESS: [
                    *short(STEPS, seed),
                    f"--config.data.name={second}",
                    f"--config.init_from={RUNS / f'{name}-pre-trained-less'}",
                ],
                "from scratch": [*short(STEPS, seed), f"--config.data.name={second}"],
            }.items():
                command, accuracy = run(f"{name}-{start.replace(' ', '-')}", flags)
                rows.setdefault(start, []).append(accuracy)
                rows["commands"] += [command] * (seed == 0)
        rows |= {f"mean {start}": round(float(np.mean(rows[start])), 4) for start in ("fine-tuned", "from scratch")}
        better &= all(a > b for a, b in zip(rows["fine-tuned"], rows["from scratch"], strict=True))
        result[model] = rows
    result |= about
    RECORD.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({m: {k: v for k, v in result[m].items() if k != "commands"} for m in CONFIGS}, indent=2))
    print(f"Written to {RECORD}.")
    return 0 if better else 1


if __name__ == "__main__":
    commands.script(main, __doc__, data_dir=dict(default=""))
