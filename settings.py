"""The sections of a config that have no room of their own: what each key means.

The other sections are the arguments of the functions that take them."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Experiment:
    """A whole config. steps: gradient steps; where 0, `epochs` over the training split."""

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


@dataclass(frozen=True)
class StepSettings:
    """config.step. accumulate: micro-batches a step. ema_decay: of the weights' moving average, which is then what is
    evaluated; 0 for none. nonfinite: what a loss or gradient that is NaN or infinite does to the run."""

    accumulate: int = 1
    ema_decay: float = 0.0
    nonfinite: Literal["stop", "skip"] = "stop"


@dataclass(frozen=True)
class EvaluationSettings:
    """config.evaluation. every_steps: 0 evaluates at the end only. generate: when a model that writes does so, to be
    scored by what it writes (BLEU)."""

    every_steps: int = 0
    generate: Literal["always", "last", "never"] = "last"

    def writes(self, last: bool) -> bool:
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
