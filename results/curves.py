"""Draws accuracy by epoch of finished runs: python results/curves.py OUT.png WORKDIR ..."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def main(out: str, workdirs: list[str]) -> None:
    from training import log

    figure, axes = plt.subplots(1, len(workdirs), figsize=(4.5 * len(workdirs), 3.2), squeeze=False)
    for axis, workdir in zip(axes[0], map(Path, workdirs), strict=True):
        config, rows = json.loads((workdir / "config.json").read_text()), log.read(workdir)
        per_epoch = config["total_steps"] / config["epochs"]
        for name, label in (("train/accuracy", "training (augmented)"), ("test/accuracy", "test")):
            points = [(row["step"] / per_epoch, 100 * row[name]) for row in rows if name in row]
            axis.plot(*zip(*points, strict=True), label=label, marker="o" if label == "test" else None, markersize=3)
        last = [row["test/accuracy"] for row in rows if "test/accuracy" in row][-1]
        axis.set(title=f"{config['data']['name']}: {last:.2%} test", xlabel="epoch", ylabel="accuracy, %")
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    print(f"The picture is {out}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
