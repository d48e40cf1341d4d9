"""Time of a training step: on this machine some steps are run; elsewhere it follows from the cycles that the TPU's
compiler counts, or from arithmetic and memory traffic."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import jax
import numpy as np

from experiment import Run
from planning import cycles
from planning.machines import Machine
from planning.programs import Batch, Program, mesh
from training import flops

EFFICIENCY = 0.4  # share of the peak that XLA's programs of Transformers reach, if nothing better is known
RUN_RANGE, TPU_RANGE, ROOFLINE_RANGE = (0.85, 1.15), (0.75, 1.25), (0.6, 1.6)
PATIENCE = 10.0  # seconds; no step that should take longer is run
STEPS, ENOUGH = 5, 3.0  # so many steps are run, or for so many seconds if that is shorter


@dataclass(frozen=True)
class Estimate:
    """Estimate of one step.

    Attributes:
      seconds: the best guess.
      low, high: a range that holds the truth in most cases, in seconds.
      arithmetic: FLOPs of the program, with rematerialised ones counted again.
      sent: bytes a device sends.
      how: a line that says what the estimate is based on.
    """

    seconds: float
    low: float
    high: float
    arithmetic: float
    sent: int
    how: str

    def times(self, factor: float) -> "Estimate":
        """The estimate of a step of `factor` times as much work."""
        timed = {name: factor * getattr(self, name) for name in ("seconds", "low", "high", "arithmetic")}
        return Estimate(**asdict(self) | timed)


def step_time(run: Run, machine: Machine, batch: Batch, program: Program) -> Estimate:
    """The time of a compiled step on a batch of these shapes.

    The time of sending between devices is added in full, though the compiler may overlap some of it with arithmetic.
    """
    laid_out = mesh(run).lay_out_batch(batch)  # as it was compiled, so that it is not traced again
    arithmetic = flops.forward(run.train_step, run.abstract_state, laid_out)
    cost = cycles.cost(program.text)
    sending = cost.sent / machine.chip.link
    if cost.cycles and machine.chip.clock:
        busy, (least, most) = cost.cycles / machine.chip.clock, TPU_RANGE
        how = f"{cost.cycles / 1e6:,.1f} Mcycles that libtpu counts, at {machine.chip.clock / 1e9:g} GHz"
    else:
        peak, source = _peak(run, machine)
        traffic = 2 * program.total / machine.chip.bandwidth
        busy, (least, most) = max(arithmetic / (EFFICIENCY * peak), traffic), ROOFLINE_RANGE
        how = f"{EFFICIENCY:.0%} of {peak / 1e12:,.2f} TFLOP/s ({source})"
        if busy == traffic:
            how = f"memory traffic at {machine.chip.bandwidth / 1e9:,.0f} GB/s"
        if machine.here and busy < PATIENCE and 2 * program.total <= program.limit:  # others use memory here too
            seconds, (least, most) = timed(run, batch), RUN_RANGE
            how = f"the median of some steps run here, with nothing to wait for; {how} would give {busy:.2g} s"
            return Estimate(seconds, least * seconds, most * seconds, arithmetic, cost.sent, how)
    if cost.sent and math.isfinite(machine.chip.link):
        how += f", and {cost.sent / 1e9:.2f} GB sent at {machine.chip.link / 1e9:,.0f} GB/s"
    return Estimate(busy + sending, least * busy, most * (busy + sending), arithmetic, cost.sent, how)


def timed(run: Run, batch: Batch, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a step on the devices of this machine: the median of some, after one that is compiled.

    Args:
      batch: shapes of what it is run on, which is made up.
      clock: seconds.
    """
    state, times = run.initialise(), list[float]()
    on_devices = run.devices.put({name: np.ones(x.shape, x.dtype) for name, x in batch.items()})
    while len(times) <= STEPS and sum(times[1:]) < ENOUGH:
        begun = clock()
        state, sums = run.train_step(state, on_devices)
        jax.block_until_ready((state, sums))
        times.append(clock() - begun)
    return statistics.median(times[1:])


def _peak(run: Run, machine: Machine) -> tuple[float, str]:
    """FLOP/s of all devices together in the run's precision, and the source of the number."""
    name = flops.data_sheet(machine.chip.kind)
    if name is None:  # virtual CPU devices share the one machine that was measured
        return flops.peak(machine.devices[0])
    whole: float = len(machine.devices) * flops.PEAKS[name]
    if machine.platform == "cuda" and run.config["model"].get("dtype", "float32") == "float32":
        return whole / 2, f"half of {name}'s bfloat16 peak, for float32 by TF32"
    return whole, f"data sheet of {name}"
