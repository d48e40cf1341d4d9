"""This code: steps of training of any config, on a batch of random content that is on the device already."""

import tempfile
import time
from pathlib import Path

import numpy as np
from contestants import here

TOP = 10  # operations that a profile names


def training(
    config: str, changes: here.Settings, classes: int = here.CLASSES, steps: int = 1, profile: bool = False
) -> here.Measured:
    """The train_step of a run. A call takes `steps` steps and returns their units, what the task counts: images, target
    tokens.

    Args:
      config, changes, classes: see here.run.
      profile: whether to tell at the end the share of the device's peak that was reached (MFU), the most memory that
        was used, how attention was computed, and which operations took longest.
    """
    run = here.run(config, changes, read=False, classes=classes)
    import jax

    state, batch = run.initialise(), run.devices.put(made_up(run))
    state, sums = run.train_step(state, batch)
    units, times = float(run.devices.fetch(sums)["loss"][1]), []

    def work() -> float:
        nonlocal state
        begun = time.perf_counter()
        for number in range(steps):
            state, sums = run.train_step(state, batch)
            if number % 2:  # train.py, too, waits before it runs far ahead
                jax.block_until_ready(sums)
        jax.block_until_ready(sums)
        times.append((time.perf_counter() - begun) / steps)
        return steps * units

    def facts() -> here.Settings:
        if not profile:
            return {}
        (peak, source), device = run.peak_flops(), jax.devices()[0]
        shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}
        memory = (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
        found: here.Settings = {"GB": round(memory / 1e9, 1)} if memory else {}
        found |= {"% MFU": round(100 * run.step_flops(shapes) / float(np.median(times[2:] or times)) / peak, 1)}
        found |= {"device": device.device_kind, "peak": source, "attention": run.attention}
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                work()
            return found | {"profile": longest(folder)}

    return here.Measured(work, facts)


def made_up(run: here.Theirs) -> dict[str, np.ndarray]:
    """A batch of the largest shape that a run has: no padding, no masks."""
    from planning import programs

    rng = np.random.default_rng(0)
    most = min(size for size in run.pipeline.sizes.values() if size)

    def array(x: here.Theirs) -> np.ndarray:
        if np.issubdtype(x.dtype, np.integer):
            return rng.integers(min(4, most - 1), most, x.shape).astype(x.dtype)
        return np.ones(x.shape, x.dtype) if len(x.shape) == 1 else rng.normal(size=x.shape).astype(x.dtype)

    return {name: array(x) for name, x in programs.largest(run.pipeline.shapes).items()}


def longest(folder: str) -> list[list[here.Theirs]]:
    """The operations of a profile that took longest on the device: name and share of the time of all, largest first."""
    import jax

    times: dict[str, float] = {}
    for path in Path(folder).rglob("*.xplane.pb"):
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
        of_devices = [plane for plane in planes if plane.name.startswith(("/device:GPU", "/device:TPU"))]
        for plane in of_devices or planes:
            for line in plane.lines:
                if of_devices and not line.name.startswith("Stream"):  # the others say the same in other words
                    continue
                for event in line.events:
                    if of_devices or "hlo_op" in dict(event.stats):
                        times[event.name] = times.get(event.name, 0.0) + event.duration_ns
    whole = sum(times.values())
    return [[name, round(x / whole, 3)] for name, x in sorted(times.items(), key=lambda item: -item[1])[:TOP]]
