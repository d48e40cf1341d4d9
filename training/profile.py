"""A trace of some steps, for TensorBoard's profiler or Perfetto."""

from pathlib import Path
from typing import Self

import jax

import storage


class Profile:
    """Traces steps first_step ... first_step + steps - 1 into WORKDIR/profile; 0 steps for no trace."""

    def __init__(self, workdir: Path, first_step: int, steps: int):
        self._place = storage.written(workdir / "profile")
        self._from, self._to = first_step, first_step + steps
        self._on = False

    def before(self, step: int) -> None:
        """To be called before each step."""
        if self._from <= step < self._to and not self._on:
            jax.profiler.start_trace(str(self._place.__enter__()), create_perfetto_trace=True)
            self._on = True
        elif step >= self._to and self._on:
            self._stop()

    def _stop(self) -> None:
        jax.profiler.stop_trace()
        self._place.__exit__(None, None, None)
        self._on = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._on:
            self._stop()
