"""Whether pre-training helps: python results/transfer.py [--data_dir=FOLDER]

A ViT and a ResNet learn five classes of Fashion-MNIST, then the other five: fine-tuned, fine-tuned after a quarter of
the pre-training, and from scratch, with equal steps, for three seeds. The ViT is also fine-tuned after as much
pre-training without labels, on the mean colours of corrupted patches; and, pre-trained on images of 16 pixels, it is
fine-tuned on these and on those of 28. Writes results/transfer.json. Runs are kept in runs/transfer, from which a
second start resumes.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

Row = record.Record
RECORD, RUNS = ROOT / "results" / "transfer.json", Path("runs", "transfer")
CONFIGS = {"ViT": "configs/vit_fashion_mnist.py", "BiT ResNet": "configs/resnet_fashion_mnist.py"}
SEEDS, PRETRAINED, LESS, STEPS, IMAGES = 3, 600, 150, 100, 1000
LOW, HIGH = 16, 28  # pixels


@dataclass(frozen=True)
class Stage:
    """A run.

    Attributes:
      steps: of training.
      after: the stage whose weights it begins with; "" for none. Such a run is on the second five classes.
      pre: whether it is on the first five classes.
      config: another than that of the model.
      pixels: of the images; 0 for those of the config. Learned positions are then interpolated between sizes.
    """

    steps: int
    after: str = ""
    pre: bool = False
    config: str = ""
    pixels: int = 0


AFTER_LESS = f"fine-tuned after {LESS} steps"
AFTER_NO_LABELS = "fine-tuned after mean colours"
AT_LOW, AT_HIGH = f"fine-tuned at {LOW} pixels", f"fine-tuned at {HIGH} pixels"
STAGES = {
    "pre-trained": Stage(PRETRAINED, pre=True),
    "fine-tuned": Stage(STEPS, "pre-trained"),
    "pre-trained less": Stage(LESS, pre=True),
    AFTER_LESS: Stage(STEPS, "pre-trained less"),
    "from scratch": Stage(STEPS),
}
OF_VIT = {
    "pre-trained on mean colours": Stage(PRETRAINED, pre=True, config="configs/mae_fashion_mnist.py:mean_color"),
    AFTER_NO_LABELS: Stage(STEPS, "pre-trained on mean colours"),
    "pre-trained on small images": Stage(PRETRAINED, pre=True, pixels=LOW),
    AT_LOW: Stage(STEPS, "pre-trained on small images", pixels=LOW),
    AT_HIGH: Stage(STEPS, "pre-trained on small images", pixels=HIGH),
}
FLAGS = [
    *("--config.data.source=arrays", "--config.data.train_split=train", "--config.checkpoint.keep_best="),
    "--config.evaluation.every_steps=0",
]


def halves(data_dir: str) -> tuple[Path, Path]:
    """Writes archives of the first five classes, and of the other five with IMAGES training images."""
    paths = (RUNS / "first.npz", RUNS / "second.npz")
    (ROOT / RUNS).mkdir(parents=True, exist_ok=True)
    loaded = {split: of_split(split, data_dir) for split in ("train", "test")}
    for half, path in enumerate(paths):
        arrays: dict[str, np.ndarray] = {}
        for split, (images, labels) in loaded.items():
            chosen = np.flatnonzero(labels // 5 == half)[: IMAGES if half and split == "train" else None]
            arrays |= {f"{split}_images": images[chosen], f"{split}_labels": labels[chosen] % 5}
        np.savez(ROOT / path, **arrays)  # type: ignore[arg-type]
    return paths


def of_split(split: str, data_dir: str) -> tuple[UInt8[np.ndarray, "n 28 28 1"], Int64[np.ndarray, " n"]]:
    """Images and labels of Fashion-MNIST."""
    from data import sources

    source = sources.open("tfds", "fashion_mnist", split, data_dir, memory_limit_mb=1024)
    examples = source.read(np.arange(source.size))
    return examples["image"].numpy(), examples["label"].numpy()


def workdir(config: str, seed: int, name: str) -> Path:
    """Where a stage is kept. config: of the model."""
    return RUNS / f"{Path(config).stem}-{seed}-{name.replace(' ', '-')}"


def flags_of(stage: Stage, config: str, seed: int, first: Path, second: Path) -> list[str]:
    """The flags of a stage. config: of the model. first, second: archives of the two halves of the classes."""
    return [
        *(f"--config={stage.config or config}", f"--config.steps={stage.steps}", f"--config.seed={seed}"),
        *(f"--config.optim.warmup_steps={stage.steps // 5}", f"--config.data.name={first if stage.pre else second}"),
        *([f"--config.init_from={workdir(config, seed, stage.after)}"] if stage.after else []),
        *([f"--config.data.image_size={stage.pixels}", "--config.model.positions=learned"] if stage.pixels else []),
        *FLAGS,
    ]


def run(folder: Path, flags: list[str]) -> tuple[str, float]:
    """Trains, unless it is done. Returns the command and the test accuracy at the end, of classes or of colours."""
    command = ["train.py", *flags, f"--workdir={folder}"]
    trained.spent(ROOT / folder, command)
    rows = [json.loads(line) for line in (ROOT / folder / "metrics.jsonl").read_text().splitlines()]
    return f"python {' '.join(command)}", [row["test/accuracy"] for row in rows if "test/accuracy" in row][-1]


def main(data_dir: str) -> int:
    """Trains everything and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    archives = halves(data_dir)
    result: Row = {"expected": "fine-tuned better than from scratch at equal steps, for every seed"}
    better = True
    for model, config in CONFIGS.items():
        rows: Row = {"commands": []}  # those of the first seed
        for seed in range(SEEDS):
            for name, stage in (STAGES | (OF_VIT if model == "ViT" else {})).items():
                command, accuracy = run(workdir(config, seed, name), flags_of(stage, config, seed, *archives))
                rows.setdefault(name, []).append(accuracy)
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
