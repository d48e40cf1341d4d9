"""Tokens a second of the base Transformer (V = 8000) on this machine: training, greedy search, beam search.

    python results/translation_speed.py

Writes results/translation_speed.json. Every rate is also given as a share of this machine's own float32 matrix product,
measured in the same minute.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import commands  # noqa: E402

commands.keep_freed_memory()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import models  # noqa: E402
import tasks  # noqa: E402
from experiment import record  # noqa: E402
from models.tokens import PAD  # noqa: E402
from training import flops, optim, parallel, step  # noqa: E402
from training.trees import Batch, Variables  # noqa: E402

V, ROUNDS = 8000, 8
MODEL = models.build("transformer", outputs=V, source_vocabulary=None, variant="base")


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """The time of one call."""
    begun = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - begun


def batch(rows: int, length: int) -> dict[str, jax.Array]:
    """Random sentences without padding."""
    chance = np.random.default_rng(0)
    return {name: jnp.asarray(chance.integers(4, V, (rows, length), np.int32)) for name in ("source", "target")}


def shapes(data: dict[str, jax.Array]) -> dict[str, jax.ShapeDtypeStruct]:
    """Of the arrays of a batch."""
    return {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in data.items()}


def training(rows: int, length: int) -> dict[str, float]:
    """Target tokens a second of the whole step: forward, backward and Adam, with dropout and label smoothing."""
    task = tasks.build("translate")
    optimiser, _ = optim.make(name="adamw", learning_rate=1e-4, total_steps=1000, schedule="rsqrt", warmup_steps=10)
    data, devices = batch(rows, length), parallel.make("mesh")
    state = step.initialise(model=MODEL, task=task, optimiser=optimiser, batch=shapes(data), seed=0, ema=False)
    function = partial(
        step.train_step, model=MODEL, task=task, optimiser=optimiser, seed=0, accumulate=1, ema_decay=0.0
    )
    train_step = devices.compile_train(function, state)
    forward = partial(step.eval_step, axis=parallel.WHOLE, model=MODEL, task=task)
    work = 3 * flops.forward(forward, state.variables, data)
    state, _ = train_step(state, data)
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        state, sums = train_step(state, data)
        jax.block_until_ready(sums)
        times.append(time.perf_counter() - begun)
    fastest, median = min(times), statistics.median(times)
    return {
        "target_tokens_per_second": round(rows * length / median, 1),
        "best": round(rows * length / fastest, 1),
        "gflop_a_token": round(work / rows / length / 1e9, 3),
        "share_of_gemm_rate": round(work / median / gemm_rate(), 3),
    }


def decoding(beams: int, rows: int = 8, length: int = 32) -> dict[str, float]:
    """Tokens a second of the translations. Random weights never end a sentence, so that all have `length` tokens."""
    data = batch(rows, length)
    params = MODEL.init(jax.random.key(0), data["source"], data["target"], train=False)["params"]
    task = tasks.build("translate", beams=beams, extra_length=1)

    @jax.jit
    def translate(variables: Variables, data: Batch) -> jax.Array:
        """The tokens of the translations."""
        return task.predict(step.Apply(MODEL, variables, lambda x: x), data, jax.random.key(0))["tokens"]

    written = int((np.asarray(translate({"params": params}, data)) != PAD).sum())
    times = [seconds(translate, {"params": params}, data) for _ in range(ROUNDS)]
    median = statistics.median(times)
    encode = flops.forward(
        lambda params, source: MODEL.apply({"params": params}, source, train=False, method="encode"),
        params,
        data["source"],
    )
    per_token = 2 * (sum(x.size for x in jax.tree.leaves(params["decoder"])) + V * 512)
    return {
        "tokens_per_second": round(written / median, 1),
        "best": round(written / min(times), 1),
        "tokens": written,
        "share_of_gemm_rate": round((encode + per_token * beams * written) / median / gemm_rate(), 3),
    }


def gemm_rate() -> float:
    """FLOP/s of a float32 matrix product of size 1024."""
    return flops.peak(jax.devices()[0], seconds=1.0)[0]


def main() -> None:
    """Writes the record."""
    about = record.clean_provenance()
    result = {
        "command": "python results/translation_speed.py",
        "model": "Transformer base, V = 8000, float32",
        **about,
        "gemm_gflops": round(gemm_rate() / 1e9, 1),
        "training 16 x 32": training(16, 32),
        "training 8 x 64": training(8, 64),
        "greedy, batch 8": decoding(1),
        "beam 4, batch 8": decoding(4),
    }
    path = ROOT / "results" / "translation_speed.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"Written to {path}.")


if __name__ == "__main__":
    commands.script(main, __doc__)
