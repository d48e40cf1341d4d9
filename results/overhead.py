"""Overhead of the training loop over the bare step, and time to the first step: python results/overhead.py

Writes results/overhead.json. The bare step is the compiled train_step on batches that are on the device already. The
loop is the same step fed by the real pipeline, with log lines, live line and metrics. Both run in turns within one
process. The time to the first step is of whole processes, ViT-Ti/16 at 224 pixels: the first begins with an empty
compilation cache ("cold"), the others find what it compiled ("warm").
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402

commands.keep_freed_memory()

from experiment import record  # noqa: E402

STEPS, ROUNDS = 50, 20


def loop_overhead() -> dict[str, float]:
    """The time of the loop over that of the bare step."""
    import jax

    import experiment
    from configs import vit_digits
    from training.log import Log
    from training.meter import Meter
    from training.prefetch import Prefetch
    from training.progress import Live

    config = vit_digits.get_config()
    with tempfile.TemporaryDirectory() as folder:
        run = experiment.build(config, Path(folder))
        state = run.initialise()
        with (
            Prefetch(lambda: run.pipeline.train_batches(0), run.devices.put) as batches,
            Log(Path(folder), 0) as log,
            Live(0, run.steps, show=False) as live,
        ):
            held = [next(batches) for _ in range(8)]
            meter = Meter(run.task.unit, run.devices.fetch)
            for batch in held:
                state, _ = run.train_step(state, batch)
            jax.block_until_ready(state)

            def bare() -> float:
                """Seconds of STEPS bare steps."""
                nonlocal state
                begun = time.perf_counter()
                for number in range(STEPS):
                    state, sums = run.train_step(state, held[number % 8])
                    if number % 2:
                        jax.block_until_ready(sums)
                jax.block_until_ready(state)
                return time.perf_counter() - begun

            def looped() -> float:
                """Seconds of STEPS steps of the loop."""
                nonlocal state
                begun = time.perf_counter()
                for number in range(STEPS):
                    state, sums = run.train_step(state, next(batches))
                    meter.add(number, sums, 1)
                    live.step(number)
                metrics = meter.read(batches.waited)
                log.write(STEPS, metrics)
                live.metrics(STEPS, metrics)
                jax.block_until_ready(state)
                return time.perf_counter() - begun

            looped(), bare()
            ratios, steps, waited = [], [], batches.waited
            begun = time.perf_counter()
            for _ in range(ROUNDS):
                alone = bare()
                ratios.append(looped() / alone)
                steps.append(alone / STEPS)
            wait = (batches.waited - waited) / (time.perf_counter() - begun)
    return {
        "bare_step_milliseconds": round(1000 * statistics.median(steps), 2),
        "loop_over_bare, median": round(statistics.median(ratios), 4),
        "loop_over_bare, least": round(min(ratios), 4),
        "loop_over_bare, most": round(max(ratios), 4),
        "input_wait": round(wait, 5),
    }


def first_step() -> dict[str, dict[str, object]]:
    """Seconds from the start of the process to the end of the first step: cold, and warm."""
    flags = (
        "--config=configs/vit_imagenet.py:Ti/16 --config.data.batch_size=8 --config.steps=2 "
        "--config.optim.warmup_steps=0 --config.log.peak_teraflops=1 --config.checkpoint.keep_best= "
        "--config.data.eval_batch_size=8 "
        "--config.data.source={source} --config.data.name={name} --config.data.train_split=train "
        "--config.data.memory_limit_mb=2048"
    )
    times: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        photos(Path(folder, "photos"))
        for source, name in (("synthetic", "1000"), ("folder", f"{folder}/photos")):
            seconds: list[float] = []
            environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/{source}_cache"}
            for number in range(4):
                command = [sys.executable, "train.py", f"--workdir={folder}/{source}{number}"]
                begun = time.perf_counter()
                process = subprocess.Popen(
                    [*command, *flags.format(source=source, name=name).split()],
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                assert process.stdout
                for line in process.stdout:
                    if re.match("First step", line):
                        seconds.append(round(time.perf_counter() - begun, 2))
                if process.wait():
                    sys.exit(f"{' '.join(command)} failed")
            times[source] = {"cold": seconds[0], "warm": seconds[1:]}
    return times


def photos(folder: Path) -> None:
    """Writes JPEGs of ImageNet's usual size."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for number in range(32):
            path = folder / split / f"class{number % 4}" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path)


def main() -> None:
    """Writes the record."""
    about = record.clean_provenance()
    times = first_step()
    result = {
        "command": "python results/overhead.py",
        "expected": "loop at most 1.03 of the bare step; first step of a warm ViT-Ti/16 within 8 s",
        "loop, vit_digits": loop_overhead(),
        "seconds to the first step, ViT-Ti/16, batch 8": times,
        "load average": round(os.getloadavg()[0], 1),
        **about,
    }
    path = ROOT / "results" / "overhead.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2), f"\nThe record is {path}", sep="")


if __name__ == "__main__":
    commands.script(main, __doc__)
