"""The time of the training loop over that of the bare step: both by turns within one process, configs/vit_digits.py."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contestants import here

Work = Callable[[], float]
ROUNDS = 10


def ours(batch_size: int, steps: int) -> Work:
    """The bare step is the compiled train_step on batches that are on the device already. The loop is the same step fed
    by the real pipeline, with log lines, live line and metrics. steps: of a round."""
    run = here.run("configs/vit_digits.py", {"data.batch_size": batch_size})
    import jax

    from training.log import Log
    from training.meter import Meter
    from training.prefetch import Prefetch
    from training.progress import Live

    keeper = tempfile.TemporaryDirectory()
    state = run.initialise()
    batches = Prefetch(lambda: run.pipeline.train_batches(0), run.devices.put).__enter__()
    log, live = Log(Path(keeper.name), 0).__enter__(), Live(0, run.steps, show=False).__enter__()
    held = [next(batches) for _ in range(8)]
    meter = Meter(run.task.unit, run.devices.fetch)
    meter.start(batches.waited, run.peak_flops()[0])

    def bare() -> float:
        """Seconds."""
        nonlocal state
        begun = time.perf_counter()
        for number in range(steps):
            state, sums = run.train_step(state, held[number % 8])
            if number % 2:
                jax.block_until_ready(sums)
        jax.block_until_ready(state)
        return time.perf_counter() - begun

    def looped() -> float:
        """Seconds."""
        nonlocal state
        begun = time.perf_counter()
        for number in range(steps):
            state, sums = run.train_step(state, next(batches))
            meter.add(number, sums, 1)
            live.step(number)
        metrics = meter.read(batches.waited)
        log.write(steps, metrics)
        live.metrics(steps, metrics)
        jax.block_until_ready(state)
        return time.perf_counter() - begun

    bare(), looped()

    def work() -> float:
        assert keeper
        return statistics.median([looped() / bare() for _ in range(ROUNDS)])

    return work
