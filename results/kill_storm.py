"""Kills a short run at random moments, with kill -9, and compares its end with that of a run left alone:
python results/kill_storm.py [KILLS]. Writes results/kill_storm.json and exits with 1 if a bit differs."""

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
STEPS = 1500
FLAGS = f"--config.steps={STEPS} --config.checkpoint.every_steps=10 --config.evaluation.every_steps=250 --config.log.every_steps=10"


def command(workdir: Path) -> list[str]:
    return [sys.executable, "train.py", "--config=configs/vit_digits.py", f"--workdir={workdir}", *FLAGS.split()]


def weights(workdir: Path) -> str:
    """A digest of every array of the last checkpoint's state."""
    import jax
    import numpy as np

    import experiment

    _, state, _ = experiment.load(experiment.saved_config(workdir), workdir, str(STEPS), from_data=False)
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(state)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def figures(workdir: Path) -> list[dict[str, float]]:
    """Losses and scores by step, without the figures of speed."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k == "step" or "/" in k} for row in rows]


def main(kills: int) -> int:
    rng, log = random.Random(0), []
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        begun = time.perf_counter()
        subprocess.run(command(whole), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        alone = time.perf_counter() - begun
        for number in range(kills):
            process = subprocess.Popen(command(killed), cwd=ROOT, stdout=subprocess.DEVNULL)
            moment = rng.uniform(3.0, 12.0)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.kill()
            status = process.wait()
            steps = sorted(int(p.name) for p in killed.glob("checkpoints/*") if p.name.isdigit())
            log.append({"kill": number + 1, "after_seconds": round(moment, 2), "status": status, "saved": steps[-2:]})
            print(log[-1], flush=True)
            if status == 0:
                break
        if status != 0:
            subprocess.run(command(killed), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        same = {"weights": weights(whole) == weights(killed), "figures": figures(whole) == figures(killed)}
        record = json.loads((killed / "config.json").read_text())
    result = {
        "command": f"python results/kill_storm.py {kills}",
        "expected": "the same bits in weights, optimiser state and figures as the run left alone",
        "steps": STEPS,
        "seconds_left_alone": round(alone, 1),
        "kills": sum(row["status"] == -9 for row in log),
        "same_bits": same,
        "log": log,
        **{key: record[key] for key in ("commit", "versions", "devices")},
    }
    path = ROOT / "results" / "kill_storm.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['kills']} kills, same bits: {same}; the record is {path}")
    return 0 if all(same.values()) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
