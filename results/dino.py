"""DINO on Fashion-MNIST, scored without labels having been seen: python results/dino.py [--data_dir=FOLDER] [--seeds=1]

Trains configs/dino_fashion_mnist.py, and scores the representation of the network before and after: 20 nearest
neighbours and a linear classifier, both on all training images. Writes results/dino.json, with the guards against
collapse over the whole run (curves), and results/dino.png. Runs are kept in runs/dino, from which a second start
resumes. A trial, which writes no record: --steps=40 -- --config.data.train_split="train[:1000]" ...
"""

import json
import math
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402
from results import trained  # noqa: E402

RECORD, PICTURE = ROOT / "results" / "dino.json", ROOT / "results" / "dino.png"
RUNS = Path("runs", "dino")
CONFIG = "--config=configs/dino_fashion_mnist.py"
SCORED = ["--config.evaluation.fewshot.linear=True", "--config.evaluation.fewshot.neighbours=(20,)"]
GUARDS = ("loss", "entropy", "mean_entropy", "kl", "feature_std")
LEAST = 0.15  # of the gain in k-NN that is expected
Row = record.Record


def run(command: list[str]) -> str:
    """What a command prints; ends the script if it fails. Its own lines go to the terminal."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def learned(workdir: Path, flags: list[str]) -> str:
    """Trains, unless it is done. Returns the command."""
    command = ["train.py", CONFIG, *flags, f"--workdir={workdir}"]
    trained.spent(ROOT / workdir, command)
    return " ".join(["python", *command])


def scored(workdir: Path, step: str, data: list[str]) -> dict[str, float]:
    """The scores of a checkpoint: k-NN, linear, and the guards on the test split."""
    command = ["evaluate.py", f"--workdir={workdir}", "--json", f"--step={step}", *SCORED, *data]
    found = json.loads(run(command).splitlines()[-1])
    return {name: value for name, value in found.items() if "/" in name}


def logged(workdir: Path) -> list[Row]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (ROOT / workdir / "metrics.jsonl").read_text().splitlines()]


def curves(workdir: Path) -> dict[str, list[float]]:
    """The guards in training by step, and k-NN at each evaluation."""
    rows = logged(workdir)
    train = [row for row in rows if "train/loss" in row]
    evaluations = [row for row in rows if any(name.endswith("20_nn") for name in row)]
    found = {"step": [row["step"] for row in train]}
    found |= {name: [round(row[f"train/{name}"], 4) for row in train] for name in GUARDS}
    found["evaluated"] = [row["step"] for row in evaluations]
    found["20_nn"] = [next(v for name, v in row.items() if name.endswith("20_nn")) for row in evaluations]
    return found


def collapsed(found: dict[str, list[float]]) -> list[str]:
    """Signs of a collapse in any logged stretch after the first tenth of the run; none where it went well.

    One prototype for all images: an entropy of the mean near 0. The same, even distribution for all: no difference
    between that entropy and that of single images. One point: no deviation of the features.
    """
    begin = len(found["step"]) // 10
    stretches = list(zip(*(found[name][begin:] for name in ("mean_entropy", "entropy", "feature_std")), strict=True))
    told = min(mean - single for mean, single, _ in stretches)
    signs = []
    if min(mean for mean, _, _ in stretches) < math.log(10):
        signs.append("images share fewer than ten prototypes")
    if told < 0.5:
        signs.append(f"the outputs of a batch tell its images apart by {told:.2f} nats alone")
    if min(deviation for _, _, deviation in stretches) < 0.2:
        signs.append("all images are nearly one point")
    return signs


def draw(every: list[dict[str, list[float]]], path: Path) -> None:
    """The curves of all seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots(1, 3)
    for found in every:
        axes[0].plot(found["step"], found["mean_entropy"], "C0", label="of the mean over a batch")
        axes[0].plot(found["step"], found["entropy"], "C1", label="of single images")
        axes[0].plot(found["step"], found["kl"], "C2", label="KL to the student")
        axes[1].plot(found["step"], found["feature_std"], "C3")
        axes[2].plot(found["evaluated"], found["20_nn"], "C4", marker="o", markersize=3)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].legend(handles[:3], labels[:3], fontsize="small")
    for axis, title in zip(axes, ("teacher's entropy, nats", "deviation of features", "20-NN accuracy"), strict=True):
        axis.set(title=title, xlabel="step")
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylim(0, 1.05)
    figure.savefig(path, dpi=130)


def shorter(steps: int) -> list[str]:
    """Flags of a trial of so many steps."""
    few, keys = max(1, steps // 4), ("optim.warmup_steps", "task.frozen_steps", "log.every_steps")
    return [f"--config.steps={steps}", *(f"--config.{key}={few}" for key in keys)]


def main(data_dir: str, seeds: int, steps: int, flags: list[str]) -> int:
    """Trains, scores and writes the record. steps: of a trial; 0 for the config's own. flags: further ones of train.py,
    for a trial. Returns the exit status."""
    about = record.clean_provenance()
    data = [f"--config.data.data_dir={data_dir}"] if data_dir else []
    flags = [*(shorter(steps) if steps else []), *flags]
    folder = RUNS / f"trial-{steps}" if flags else RUNS
    runs: list[Row] = []
    for seed in range(seeds):
        own = [f"--config.seed={seed}", *flags, *data]
        nothing = ["--config.steps=1", "--config.optim.learning_rate=0.0", "--config.optim.warmup_steps=0"]
        nothing += ["--config.optim.end_learning_rate=0.0", "--config.evaluation.generate=never"]
        before, after = (folder / f"{name}-{seed}" for name in ("random", "dino"))
        learned(before, [*own, *nothing])
        command = learned(after, own)
        found = curves(after)
        runs.append(
            {
                "command": command.replace(data_dir, "DIR") if data_dir else command,
                "seed": seed,
                "minutes of training steps": round(sum(row.get("seconds", 0) for row in logged(after)) / 60, 1),
                "steps": record.read(ROOT / after)["total_steps"],
                "random network": scored(before, "last", data),
                "trained": scored(after, "last", data),
                "signs of collapse": collapsed(found),
                "curves": found,
            }
        )
    name = next(name for name in runs[0]["trained"] if name.endswith("20_nn"))
    gains = [run["trained"][name] - run["random network"][name] for run in runs]
    result: Row = {
        "expected": "20-NN accuracy at least 15 points over a random network, and no sign of collapse in the whole run",
        "gain of 20-NN": [round(gain, 4) for gain in gains],
        "runs": runs,
    }
    if flags:
        draw([run["curves"] for run in runs], ROOT / folder / PICTURE.name)
        print(json.dumps(result, indent=2), f"A trial, whose picture is in {folder}: no record is written.", sep="\n")
        return 0
    result |= about
    RECORD.write_text(json.dumps(result, indent=2) + "\n")
    draw([run["curves"] for run in runs], PICTURE)
    print(json.dumps(result["gain of 20-NN"]), f"Written to {RECORD} and {PICTURE}.")
    return 0 if min(gains) >= LEAST and not any(run["signs of collapse"] for run in runs) else 1


if __name__ == "__main__":
    commands.script(
        main,
        __doc__,
        data_dir=dict(default=""),
        seeds=dict(type=int, default=1),
        steps=dict(type=int, default=0),
        flags=dict(nargs="*", metavar="FLAG", default=[]),
    )
