"""Ctrl-C and SIGTERM: the loop saves and leaves instead of dying."""

import signal
from types import FrameType
from typing import Any, Self


class Interrupt:
    """While entered, the first of the two signals is noted in `asked`; a second Ctrl-C ends the process at once."""

    asked = ""

    def __enter__(self) -> Self:
        self._before: dict[int, Any] = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number).name

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
