"""Figures of the steps between two log lines: the task's means, and how the machine is used."""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from training.evaluate import means, totals

AHEAD = 2  # steps that are queued on the device: enough to keep it busy, few enough to answer a signal soon


class Meter:
    """Collects the sums of steps without waiting for them and reads them all at once.

    Attributes:
      unit: what the loss is a mean of, "images", and so what a rate is counted in: the loss's weight, without padding.
      peak: FLOP/s of all devices together.
    """

    def __init__(self, unit: str, peak: float, fetch: Callable[[Any], Any]):
        self.unit, self.peak = unit.replace(" ", "_"), peak
        self._fetch = fetch
        self._sums: list[Any] = []  # on the device
        self._fetched: list[Any] = []  # of the steps before those
        self._flops: list[int] = []
        self._last = 0
        self._bad: dict[int, str] = {}
        self._since = time.perf_counter()
        self._waited = 0.0
        self._untimed = 0  # how many of the steps collected were over before the time began

    def start(self, waited: float) -> None:
        """Measures from here: what went before was compiling. The steps so far keep their place in the means."""
        self._since, self._waited, self._untimed = time.perf_counter(), waited, len(self._flops)

    def leave_out(self, seconds: float) -> None:
        """Time that was not training's: it went into compiling, an evaluation or a save."""
        self._since += seconds

    def add(self, step: int, sums: Any, flops: int) -> None:
        """flops: of the model in this step (three times the forward pass: what the arithmetic needs, whatever is
        computed again)."""
        self._last = step
        self._sums.append(sums)
        self._flops.append(flops)
        if len(self._sums) > AHEAD:
            jax.block_until_ready(self._sums[-1 - AHEAD])

    def _fetch_all(self) -> None:
        """Waits for the steps that are queued."""
        first = self._last - len(self._sums) + 1
        fetched = [self._fetch(sums) for sums in self._sums]
        for step, sums in enumerate(fetched, first):
            if kinds := [kind for kind in ("nonfinite", "spike") if kind in sums and sums[kind][0] > 0]:
                self._bad[step] = kinds[0]
        self._fetched, self._sums = self._fetched + fetched, []

    def bad(self) -> dict[int, str]:
        """The steps since the last call whose batch changed nothing, each with why: "nonfinite" or "spike"."""
        self._fetch_all()
        bad, self._bad = self._bad, {}
        return bad

    def read(self, waited: float) -> dict[str, float]:
        """Figures of the steps since the last call.

        Args:
          waited: seconds the loop has waited for input so far.
        """
        self._fetch_all()
        sums = self._fetched
        seconds = time.perf_counter() - self._since
        done = sum(float(s["loss"][1]) for s in sums[self._untimed :])
        rate = sum(self._flops[self._untimed :]) / seconds
        figures = {f"train/{name}": value for name, value in means(totals(sums)).items()}
        figures |= {
            f"{self.unit}_per_second": done / seconds,
            "input_wait": (waited - self._waited) / seconds,
            "teraflops_per_second": rate / 1e12,
            "mfu": rate / self.peak,
            "memory_gb": memory_bytes() / 1e9,
            "seconds": seconds,
        }
        self._fetched, self._flops, self._since, self._waited, self._untimed = [], [], time.perf_counter(), waited, 0
        return figures


def memory_bytes() -> int:
    """The most memory one device has held so far; on a CPU, the process."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
