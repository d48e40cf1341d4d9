"""A run that hangs ends: with every thread's stack, one line, and an exit status of its own."""

import faulthandler
import os
import sys
import threading
from pathlib import Path
from typing import Self

import storage

STATUS = 3  # of a process that the watchdog ended
MORE_SECONDS = 3600.0  # more for what may take longer than a step: compiling, an evaluation's batch, a save


class Watchdog:
    """Ends the process when, while it is entered, `feed` has not been called for `seconds`.

    It runs in a thread of its own, so that it works while the main thread is stuck in a device call. If the interpreter
    itself is blocked and no Python thread can run, faulthandler writes the stacks to stderr and exits with 1 after the
    same time again.

    Args:
      checkpoints: WORKDIR/checkpoints, to name the newest. The stacks are written to WORKDIR/stacks-HOST.txt.
      seconds: 0 for no watchdog.
      host: the number of this process among those of the run.
    """

    def __init__(self, checkpoints: Path, seconds: float, host: int):
        self._checkpoints, self._seconds = checkpoints, seconds
        self._stacks = checkpoints.parent / f"stacks-{host}.txt"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.feed("the start", slow=True)

    def feed(self, what: str, slow: bool = False) -> None:
        """Starts the clock anew: `what` begins. slow: whether it may take MORE_SECONDS longer."""
        self._now = (what, self._seconds + (MORE_SECONDS if slow else 0.0))

    def _watch(self) -> None:
        # Time is counted in turns of this loop, which stand still while the whole process is stopped (Ctrl-Z).
        tick, seen, waited = self._seconds / 10, None, 0.0
        while True:
            what, allowed = now = self._now
            if now is not seen:
                seen, waited = now, 0.0
            elif waited >= allowed:
                self._end(what, waited)
            faulthandler.dump_traceback_later(allowed - waited + self._seconds, exit=True, file=2)
            if self._stop.wait(tick):
                return
            waited += tick

    def _end(self, what: str, waited: float) -> None:
        """Says what hangs and where, and exits."""
        # The file system may be what hangs, or whoever reads stderr: then this ends the process.
        faulthandler.dump_traceback_later(max(1.0, self._seconds / 10), exit=True, file=2)
        faulthandler.dump_traceback(file=2)
        line = f"{what} has not ended after {waited:.0f} s (config.step.timeout_seconds={self._seconds:g})"
        try:
            with storage.written(self._stacks) as path, path.open("w") as file:
                print(line, file=file, flush=True)
                faulthandler.dump_traceback(file)
            where = str(self._stacks)
            steps = [int(path.name) for path in self._checkpoints.iterdir() if path.name.isdigit()]
        except OSError:
            where, steps = "the lines above", []
        kept = f"the newest checkpoint is step {max(steps)}, and the same command continues from there" if steps else ""
        message = f"error: {line}: stacks in {where}; {kept or 'no checkpoint was found'}."
        print(message, file=sys.stderr, flush=True)
        os._exit(STATUS)

    def __enter__(self) -> Self:
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._seconds:
            self._thread.join()
            faulthandler.cancel_dump_traceback_later()
