"""Policy for bad steps: a loss or gradient that is not finite, or a spike of the loss.

Such a step changes no weights (training/step.py). Here is decided whether the run stops, continues, or goes back to its
newest checkpoint and skips the batches from there to the bad one. The decision depends only on the sums of the steps,
which all hosts share, and not on when they are read.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from errors import UserError

PATIENCE = 100  # bad steps in a row that "skip" accepts
NOT_FINITE = "the loss or its gradient was not finite"
# [first, last] of each rollback. A batch's number is that of the step that would read it if none were skipped.
SkippedBatches = list[list[int]]
Batch = TypeVar("Batch")


class RollBack(Exception):
    """The run must continue from a checkpoint before the first bad step.

    Attributes:
      step: the first bad step.
    """

    def __init__(self, step: int, message: str):
        super().__init__(message)
        self.step = step


class Mishaps:
    """Judges the bad steps of a run.

    Args:
      policy: "stop", "skip" or "rollback".
      spike: how many times the usual loss counts as a spike.
      latest: the newest checkpoint's step.
      say: prints a line.
    """

    def __init__(self, policy: str, spike: float, latest: Callable[[], int | None], say: Callable[[str], None]):
        self._policy, self._latest, self._say = policy, latest, say
        self._what = {
            "nonfinite": NOT_FINITE,
            "spike": f"the loss was more than {spike:g} times the usual one",
        }
        self._row = self._last = 0  # bad steps in a row, up to this one

    def judge(self, bad: dict[int, str]) -> None:
        """Stops the run, sends it back or lets it continue.

        Args:
          bad: the bad steps since the last call, each with its kind (Meter.bad).

        Raises:
          UserError: the run must stop.
          RollBack: the run must go back.
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
                f"{named}. {self._kept()}. Go on past such steps with --config.step.nonfinite=skip, or from before "
                "them with rollback, or begin anew with a lower --config.optim.learning_rate or clip_norm."
            )
        self._say(f"{named[0].upper()}{named[1:]}: skipped.")
        for step in sorted(bad):
            self._row, self._last = (self._row + 1 if step == self._last + 1 else 1), step
            if self._row > PATIENCE:
                raise UserError(
                    f"{self._what[bad[step]]} at step {step}, the last of {self._row} bad ones in a row: no batch is "
                    f"at fault, and skipping is no help. {self._kept()}. Begin anew with a lower "
                    "--config.optim.learning_rate or clip_norm."
                )

    def _kept(self) -> str:
        saved = self._latest()
        return f"The newest checkpoint is step {saved}" if saved is not None else "Nothing was saved yet"


def batch_of(step: int, skipped_batches: SkippedBatches) -> int:
    """The number of the batch that a step reads, from 1 on: the step-th of those that are not skipped."""
    number = step
    for skipped in sorted(_numbers(skipped_batches)):
        number += skipped <= number
    return number


def batches(make: Callable[[int], Iterator[Batch]], start: int, skipped_batches: SkippedBatches) -> Iterator[Batch]:
    """The batches of the steps after `start`.

    Args:
      make: the pipeline's batches from a number on, where 0 is the first.
    """
    first, skipped = batch_of(start + 1, skipped_batches), _numbers(skipped_batches)
    return (batch for number, batch in enumerate(make(first - 1), first) if number not in skipped)


def _numbers(skipped_batches: SkippedBatches) -> set[int]:
    return {number for first, last in skipped_batches for number in range(first, last + 1)}


def _listed(bad: dict[int, str], kind: str) -> str:
    steps = sorted(step for step, its in bad.items() if its == kind)
    return ", ".join(map(str, steps[:5])) + (" ..." if len(steps) > 5 else "")
