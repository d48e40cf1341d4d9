"""Ctrl-C and SIGTERM: the loop saves the state and ends."""

import os
import signal
from types import FrameType
from typing import Self

import jax
from jax.experimental import multihost_utils


class Interrupt:
    """Notes the first of the two signals while it is entered; a further Ctrl-C ends the process at once.

    Of several hosts, all note it at the same step, whichever one received it. JAX's coordination service handles
    SIGTERM there, so that only Ctrl-C is caught, and passed on as SIGTERM.

    Attributes:
      asked: the name of the signal; "" before.
    """

    asked = ""

    def __enter__(self) -> Self:
        self._several = jax.process_count() > 1
        taken = (
            {signal.SIGINT: self._pass_on}
            if self._several
            else dict.fromkeys((signal.SIGINT, signal.SIGTERM), self._note)
        )
        self._before = {s: signal.signal(s, handler) for s, handler in taken.items()}
        return self

    def poll(self, step: int) -> None:
        """To be called after each step."""
        if self._several and multihost_utils.reached_preemption_sync_point(step):
            self.asked = "SIGTERM"

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:  # SIGTERM may come several times, such as again from a launcher
            raise KeyboardInterrupt
        self.asked = signal.Signals(number).name

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
