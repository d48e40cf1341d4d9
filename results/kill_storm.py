"""Kills a short run with kill -9 again and again, and compares its end with that of an undisturbed run.

    python results/kill_storm.py [KILLS]

The kills are spread over the run, half of them while a checkpoint is being written. Writes results/kill_storm.json and
exits with 1 if a bit differs.
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402
from experiment import record  # noqa: E402

STEPS = 1500
FLAGS = (
    f"--config.steps={STEPS} --config.checkpoint.every_steps=10 --config.evaluation.every_steps=250 "
    "--config.log.every_steps=10"
)
STARTED = 120.0  # seconds after which a run that has saved nothing is killed


def command(workdir: Path) -> list[str]:
    """The command that trains."""
    return [sys.executable, "train.py", "--config=configs/vit_digits.py", f"--workdir={workdir}", *FLAGS.split()]


def weights(workdir: Path, step: int = STEPS) -> str:
    """A digest of the whole state of a checkpoint."""
    import jax
    import numpy as np

    from experiment import restore

    _, state, _ = restore.load(workdir, which=str(step))
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(state)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def metrics(workdir: Path) -> list[dict[str, float]]:
    """The logged metrics by step, without those of speed."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k == "step" or "/" in k} for row in rows]


def kill(workdir: Path, step: int, saving: bool, pause: float) -> dict[str, object]:
    """Runs the command until a checkpoint of `step` or later exists, or is being written, and kills it.

    Args:
      workdir: of the run.
      step: to wait for.
      saving: whether to kill it while the checkpoint is being written.
      pause: seconds to wait before the kill, otherwise.
    """
    process = subprocess.Popen(command(workdir), cwd=ROOT, stdout=subprocess.DEVNULL)
    begun, reached = time.perf_counter(), False
    while process.poll() is None and not reached:
        names = [path.name for path in workdir.glob("checkpoints/*")]
        numbers = [
            int(name.split(".")[0]) for name in names if ("tmp" in name) == saving and name.split(".")[0].isdigit()
        ]
        reached = max(numbers, default=0) >= step
        if time.perf_counter() - begun > STARTED:
            break
    if not saving:
        time.sleep(pause)
    process.kill()
    status = process.wait()
    unfinished = any("tmp" in path.name for path in workdir.glob("checkpoints/*"))
    saved = sorted(int(path.name) for path in workdir.glob("checkpoints/*") if path.name.isdigit())
    return {"after_step": step, "status": status, "left_a_save_unfinished": unfinished, "saved": saved[-2:]}


def main(kills: int) -> int:
    """Runs the drill and writes the record. Returns the exit status."""
    about = record.clean_provenance()
    rng, log = random.Random(0), []
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        begun = time.perf_counter()
        subprocess.run(command(whole), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        alone = time.perf_counter() - begun
        for number in range(kills):
            step = round(STEPS * (number + rng.random()) / (kills + 1))
            log.append(kill(killed, step, saving=number % 2 == 1, pause=rng.uniform(0, 0.5)))
            print(log[-1], flush=True)
        subprocess.run(command(killed), cwd=ROOT, stdout=subprocess.DEVNULL)
        same = {"weights": weights(whole) == weights(killed), "figures": metrics(whole) == metrics(killed)}
        devices = record.read(killed)["devices"]
    result = {
        "command": f"python results/kill_storm.py {kills}",
        "expected": "the same bits in weights, optimiser state and metrics as the undisturbed run",
        "steps": STEPS,
        "seconds_left_alone": round(alone, 1),
        "kills": sum(row["status"] == -9 for row in log),
        "that left a save unfinished": sum(bool(row["left_a_save_unfinished"]) for row in log),
        "same_bits": same,
        "log": log,
        **about,
        "devices": devices,
    }
    path = ROOT / "results" / "kill_storm.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['kills']} kills, same bits: {same}; the record is {path}")
    return 0 if all(same.values()) else 1


if __name__ == "__main__":
    commands.script(main, __doc__, kills=dict(type=int, nargs="?", default=50))
