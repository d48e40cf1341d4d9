"""Metrics of the steps between two log lines: the task's means, and how the machine is used."""

import math
import resource
import sys
import time
from collections import deque
from collections.abc import Callable

import jax

from errors import UserError
from training.evaluate import AHEAD, HostSums, means, totals
from training.trees import Sums

PATIENCE = 10  # first steps that may have nothing to learn from


class Meter:
    """Collects the sums of steps, a few steps late, so that the devices never wait for it.

    Args:
      unit: what the loss is a mean of, "images", and so what a rate counts: the loss's weight, without padding.
      fetch: brings sums from the devices to the host.
    """

    def __init__(self, unit: str, fetch: Callable[[Sums], HostSums]):
        self.unit, self._fetch = unit.replace(" ", "_"), fetch
        self._peak = math.inf
        self._sums: deque[Sums] = deque()  # of the steps that are queued
        self._fetched: list[HostSums] = []  # of the steps before those
        self._flops: list[int] = []
        self._last = 0
        self._bad: dict[int, str] = {}
        self._since = time.perf_counter()
        self._waited = 0.0
        self._untimed = 0  # how many of the steps collected were over before the time began
        self._empty: int | None = 0  # steps so far, while none of them had anything to learn from

    def start(self, waited: float, peak: float) -> None:
        """Measures time from here: before, the step was compiled. The steps so far still count in the means.

        Args:
          waited: see `read`.
          peak: FLOP/s of all devices together.
        """
        self._since, self._waited, self._untimed = time.perf_counter(), waited, len(self._flops)
        self._peak = peak

    def leave_out(self, seconds: float) -> None:
        """Does not count this time: it went into compiling, an evaluation or a save."""
        self._since += seconds

    def add(self, step: int, sums: Sums, flops: int) -> None:
        """Takes a step.

        Args:
          sums: on the devices.
          flops: of the model in this step: three times the forward pass, whatever is computed again.
        """
        self._last = step
        self._sums.append(sums)
        self._flops.append(flops)
        self._fetch_until(AHEAD)

    def _fetch_until(self, queued: int) -> None:
        """Waits until no more steps than this are queued."""
        while len(self._sums) > queued:
            step = self._last - len(self._sums) + 1
            self._fetched.append(sums := self._fetch(self._sums.popleft()))
            if kinds := [kind for kind in ("nonfinite", "spike") if kind in sums and sums[kind][0] > 0]:
                self._bad[step] = kinds[0]

    def bad(self) -> dict[int, str]:
        """The bad steps since the last call, each with its kind: "nonfinite" or "spike"."""
        self._fetch_until(0)
        bad, self._bad = self._bad, {}
        return bad

    def read(self, waited: float) -> dict[str, float]:
        """Metrics of the steps since the last call.

        Args:
          waited: seconds the loop has waited for input so far.

        Raises:
          UserError: the first steps had nothing to learn from.
        """
        self._fetch_until(0)
        sums = self._fetched
        if self._empty is not None:
            learned = any(s["loss"][1] > 0 or s.get("nonfinite", (0,))[0] > 0 for s in sums)
            self._empty = None if learned else self._empty + len(sums)
            if (self._empty or 0) >= PATIENCE:
                raise UserError(
                    f"the first {self._empty} steps had nothing to learn from: no {self.unit.replace('_', ' ')} in "
                    "them count. See what config.data leaves out."
                )
        seconds = time.perf_counter() - self._since
        metrics = {f"train/{name}": value for name, value in means(totals(sums)).items()}
        metrics |= {"memory_gb": memory_bytes() / 1e9, "seconds": seconds}
        if timed := sums[self._untimed :]:  # none at the first step, which has no rate: it was compiled
            rate = sum(self._flops[self._untimed :]) / seconds
            metrics |= {
                f"{self.unit}_per_second": sum(float(s["loss"][1]) for s in timed) / seconds,
                "input_wait": (waited - self._waited) / seconds,
                "teraflops_per_second": rate / 1e12,
                "mfu": rate / self._peak,
            }
        self._fetched, self._flops, self._since, self._waited, self._untimed = [], [], time.perf_counter(), waited, 0
        return metrics


def memory_bytes() -> int:
    """The most memory that one device has held so far, in bytes; on a CPU, the process."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
