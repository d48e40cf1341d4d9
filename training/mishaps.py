"""Steps that go wrong, with a loss that is not finite or a spike: what they do to a run.

The step itself keeps its weights (training/step.py). Here is decided whether the run stops, goes on past it, or goes back
to its newest checkpoint and leaves out the batches from there to the bad one. Everything is decided from the sums of
steps, which all hosts share, and in the same way however late it is noticed.
"""

from collections.abc import Callable, Iterator
from typing import Any

from errors import UserError

PATIENCE = 100  # bad steps in a row that "skip" goes past: more are no mishap
SkippedBatches = list[list[int]]  # [first, last] of each rollback; a batch's number is the step that would read it otherwise


class RollBack(Exception):
    """The run must go on from a checkpoint before `step`, the first bad one; the message says what was bad."""

    def __init__(self, step: int, message: str):
        super().__init__(message)
        self.step = step


class Mishaps:
    """Judges the bad steps of a run.

    Args:
      policy: "stop", "skip" or "rollback". spike: how many times the usual loss is one.
      latest: the newest checkpoint's step. say: prints a line.
    """

    def __init__(self, policy: str, spike: float, latest: Callable[[], int | None], say: Callable[[str], None]):
        self._policy, self._latest, self._say = policy, latest, say
        self._what = {
            "nonfinite": "the loss or its gradient was not finite",
            "spike": f"the loss was more than {spike:g} times the usual one",
        }
        self._row = self._last = 0  # bad steps in a row, up to this one

    def judge(self, bad: dict[int, str]) -> None:
        """bad: the steps since the last call that were, each with its kind (Meter.bad).

        Raises:
          UserError: the run is to stop. RollBack: it is to go back.
        """
        if not bad:
            return
        first = min(bad)
        if self._policy == "rollback":
            raise RollBack(first, f"{self._what[bad[first]]} at step {first}")
        named = "; ".join(
            f"{what} at step {_listed(bad, kind)}" for kind, what in self._what.items() if kind in bad.values()
        )
        if self._policy == "stop":
            raise UserError(
                f"{named}. {self._kept()}. Go on past such steps with --config.step.nonfinite=skip, or from before them "
                "with rollback, or begin anew with a lower --config.optim.learning_rate or clip_norm."
            )
        self._say(f"{named[0].upper()}{named[1:]}: skipped.")
        for step in sorted(bad):
            self._row, self._last = (self._row + 1 if step == self._last + 1 else 1), step
            if self._row > PATIENCE:
                raise UserError(
                    f"{self._what[bad[step]]} at step {step}, the last of {self._row} bad ones in a row: no batch is at "
                    f"fault, and skipping is no help. {self._kept()}. Begin anew with a lower "
                    "--config.optim.learning_rate or clip_norm."
                )

    def _kept(self) -> str:
        saved = self._latest()
        return f"The newest checkpoint is step {saved}" if saved is not None else "Nothing was saved yet"


def batch_of(step: int, left_out: SkippedBatches) -> int:
    """The number of the batch that a step reads, from 1 on: the step-th of those that are not left out."""
    number = step
    for left in sorted(_numbers(left_out)):
        number += left <= number
    return number


def batches(make: Callable[[int], Iterator[Any]], start: int, left_out: SkippedBatches) -> Iterator[Any]:
    """The batches of the steps after `start`. make: the pipeline's, from a batch on, of which 0 is the first."""
    first, left = batch_of(start + 1, left_out), _numbers(left_out)
    return (batch for number, batch in enumerate(make(first - 1), first) if number not in left)


def _numbers(left_out: SkippedBatches) -> set[int]:
    return {number for first, last in left_out for number in range(first, last + 1)}


def _listed(bad: dict[int, str], kind: str) -> str:
    steps = sorted(step for step, its in bad.items() if its == kind)
    return ", ".join(map(str, steps[:5])) + (" ..." if len(steps) > 5 else "")
