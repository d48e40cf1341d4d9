"""What follows from the data: `choose("images", ...)` is `experiment/recipes/images.py`'s `choose(...)`.

A config that names a recipe leaves keys open (None). A recipe says their values, from what the data are, the machine,
and the weights that the run begins with. Nothing is registered: a recipe is a file that defines

    def choose(survey: Survey, given: Given, machine: Machine, start: Start | None) -> dict[str, Value]

Keys that the config or the command line sets stay as they are; the recipe may read them, since others follow from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from input_pipeline import Survey
from lookup import Value

T = TypeVar("T")
EVALUATIONS, LOGS = 10, 40  # of a run
WARMUP = 0.1  # share of a run's steps
MOST_WARMUP = 1000  # steps


@dataclass(frozen=True)
class Machine:
    """Where the run will be.

    Attributes:
      accelerator: whether it is a GPU or a TPU.
      divisor: devices, by which every batch must divide.
      memory: bytes of one device.
    """

    accelerator: bool
    divisor: int
    memory: int


@dataclass(frozen=True)
class Start:
    """The weights that the run begins with, config.init_from.

    Attributes:
      model: the keys of config.model that they decide.
      data: those of config.data: image_size, tokenizer.
      task: those of config.task: start.
      parameters: how many there are.
      side: by which published ones ask that a side of an image divides, in pixels; 0 of a run's, whose images say it.
    """

    model: dict[str, Value]
    data: dict[str, Value] = field(default_factory=dict)
    task: dict[str, Value] = field(default_factory=dict)
    parameters: int = 0
    side: int = 0

    @property
    def keys(self) -> dict[str, Value]:
        """All of them, as keys of a config."""
        sections = {"data": self.data, "task": self.task, "model": self.model}
        return {f"{name}.{key}": value for name, keys in sections.items() for key, value in keys.items()}


class Given:
    """The keys that are set, by their names with dots; those that are open are not there."""

    def __init__(self, config: Mapping[str, Value]):
        self._config = config

    def get(self, key: str, default: T) -> T:
        """The value of a key, or `default` where it is open."""
        here: Value = self._config
        for part in key.split("."):
            here = here.get(part) if isinstance(here, Mapping) else None
        return default if here is None else here


def batch(examples: int, wanted: int, machine: Machine) -> int:
    """A batch near `wanted` examples, a power of two that divides by the devices and is no larger than the split."""
    size = 2 ** max(0, wanted.bit_length() - 1)
    while size > 1 and size > examples:
        size //= 2
    return max(1, round(size / machine.divisor)) * machine.divisor


def passes(examples: int, views: int, bounds: tuple[int, int]) -> int:
    """How many epochs show about so many views of examples in all. bounds: the least and the most."""
    least, most = bounds
    return min(most, max(least, views // examples))


def judge(survey: Survey, given: Given, usual: str = "validation") -> str:
    """The split whose score says which checkpoint is best."""
    return given.get("data.eval_splits", survey.keys.get("eval_splits", (usual,)))[0]


def heads(width: int, size: int = 32) -> int:
    """About as many heads as have this size, a divisor of the width."""
    return next(count for count in range(max(1, width // size), 0, -1) if width % count == 0)


def calendar(
    steps_per_epoch: float, epochs: float, given: Given, split: str, metric: str, mode: str = "max"
) -> dict[str, Value]:
    """How long the run is, and when it warms up, evaluates, saves and logs.

    Args:
      metric: that says which checkpoint is best; none where only a test split could say it.
    """
    epochs, wanted = given.get("epochs", epochs), given.get("steps", 0)
    steps = wanted or max(1, round(epochs * steps_per_epoch))
    every = max(1, -(-steps // EVALUATIONS))
    best = "" if split.split("[")[0].lower().startswith("test") else f"{split}/{metric}"
    return {
        **({} if wanted else {"epochs": float(epochs)}),
        "optim.warmup_steps": min(MOST_WARMUP, int(WARMUP * steps)),
        "evaluation.every_steps": every,
        "checkpoint.every_steps": every,
        "checkpoint.keep_best": best,
        "checkpoint.keep_best_mode": mode,
        "log.every_steps": max(min(5, steps), steps // LOGS),
    }


__all__ = ["Given", "Machine", "Start", "Survey", "batch", "calendar", "heads", "judge", "passes"]
