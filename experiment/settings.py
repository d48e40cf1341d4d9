"""The sections of a config that have no room of their own: what each key means.

The other sections are the arguments of the functions that take them."""

from dataclasses import dataclass
from typing import Any, Literal

from errors import UserError
from experiment.fewshot import Fewshot


@dataclass(frozen=True)
class Experiment:
    """A whole config. steps: gradient steps; where 0, `epochs` over the training split. init_from, init_fresh: see
    transfer.py."""

    seed: int
    steps: int
    epochs: float
    model: dict[str, Any]
    task: dict[str, Any]
    data: dict[str, Any]
    optim: dict[str, Any]
    step: dict[str, Any]
    parallel: dict[str, Any]
    evaluation: dict[str, Any]
    checkpoint: dict[str, Any]
    log: dict[str, Any]
    profile: dict[str, Any]
    init_from: str = ""
    init_fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepSettings:
    """config.step.

    accumulate: micro-batches a step. ema_decay: of the weights' moving average, which is then what is evaluated; 0 for none.
    frozen: patterns over parameter paths that are not trained: ("(?!head/).*",) trains the head alone.
    nonfinite: what a bad step does to the run, one whose loss or gradient is NaN or infinite or whose loss is a spike. Its
      batch changes no weights; then the run "stop"s, or goes on ("skip"), or goes back to the newest checkpoint before it
      and on without the batches from there to the bad one ("rollback").
    spike: a loss more than so many times the usual one, that of about the last hundred steps, is a spike; 0: none is.
    rollbacks: how often a run may go back; then it stops.
    timeout_seconds: a step that has not ended by then ends the process with exit status 3 and every thread's stack;
      compiling, a batch of an evaluation and a save have an hour more; 0 for no limit.
    """

    accumulate: int = 1
    ema_decay: float = 0.0
    frozen: tuple[str, ...] = ()
    nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    spike: float = 0.0
    rollbacks: int = 3
    timeout_seconds: float = 1800.0

    def __post_init__(self) -> None:
        if self.accumulate < 1 or not 0 <= self.ema_decay < 1:
            raise UserError("config.step: accumulate must be at least 1 and ema_decay at least 0 and less than 1.")
        if 0 < self.spike <= 1 or min(self.spike, self.rollbacks, self.timeout_seconds) < 0:
            raise UserError("config.step: spike must be 0 or more than 1, rollbacks and timeout_seconds at least 0.")


@dataclass(frozen=True)
class EvaluationSettings:
    """config.evaluation. every_steps: 0 evaluates at the end only. generate: when the scores are made that take long: of
    what a model writes (BLEU), and fewshot's, for which see experiment/fewshot.py."""

    fewshot: Fewshot
    every_steps: int = 0
    generate: Literal["always", "last", "never"] = "last"

    def slow(self, last: bool) -> bool:
        return self.generate == "always" or (last and self.generate == "last")


@dataclass(frozen=True)
class LogSettings:
    """config.log. peak_teraflops: of one device, for MFU; 0 takes the data sheet's or measures a matrix product."""

    every_steps: int = 50
    peak_teraflops: float = 0.0


@dataclass(frozen=True)
class ProfileSettings:
    """config.profile: a trace of `steps` steps from step `first_step` on, into WORKDIR/profile; 0 steps for none."""

    first_step: int = 10
    steps: int = 0
