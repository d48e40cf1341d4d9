"""What contestants are made from: this code, published code that is checked out, and installed packages."""

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Theirs = Any  # what another library makes or takes: a contestant's process has that library, a type checker has not
Settings = dict[str, Any]  # as JSON
ROOT = Path(__file__).parents[3]
CLASSES = 1000  # of data that are not here
CHECKOUTS = {  # variable -> repository
    "VISION_TRANSFORMER": "github.com/google-research/vision_transformer",
    "BIG_VISION": "github.com/google-research/big_vision",
    "FLAX": "github.com/google/flax",
    "NANOGPT": "github.com/karpathy/nanoGPT",
}


class Absent(Exception):
    """What is to be measured is not installed here. The message says how to have it."""


@dataclass(frozen=True)
class Measured:
    """What a contestant returns that has more to say.

    Attributes:
      work: see worker.py.
      facts: called at the end; numbers by unit, which stand behind the value, and others, which are recorded alone.
    """

    work: Callable[[], float]
    facts: Callable[[], Settings]


def ours() -> None:
    """Makes this code importable, and sets the environment as its commands do."""
    sys.path.insert(0, str(ROOT))
    import commands

    commands.begin()


def run(config: str, changes: Settings, *, read: bool = True, classes: int = CLASSES, devices: Theirs = None) -> Theirs:
    """This code's experiment.Run of a config, as train.py builds it.

    Args:
      config: "configs/FILE.py:VARIANT".
      changes: of its keys: {"data.batch_size": 8}.
      read: whether there are data; otherwise the run has shapes alone.
      classes: of data that are not read.
      devices: other ones than this machine's.
    """
    ours()
    import experiment
    import input_pipeline
    from experiment import config as configs
    from planning import unread

    whole = configs.load(config)
    whole.update_from_flattened_dict({k: tuple(v) if isinstance(v, list) else v for k, v in changes.items()})
    pipeline_of = input_pipeline.build if read else unread.pipeline(classes)
    return experiment.build(whole, Path("nowhere"), devices=devices, pipeline_of=pipeline_of)


def module(variable: str, folder: str, name: str) -> Theirs:
    """A module of published code.

    Args:
      variable: of the environment, one of CHECKOUTS, which says where the repository is checked out.
      folder: of the repository, from which the module is imported.

    Raises:
      Absent: the variable is not set, or something that the module imports is not installed.
    """
    if not os.environ.get(variable):
        raise Absent(f"{variable} does not say where {CHECKOUTS[variable]} is checked out")
    sys.path.insert(0, str(Path(os.environ[variable], folder)))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Absent(f"{variable}: {error}") from None


def package(name: str) -> Theirs:
    """An installed package.

    Raises:
      Absent: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Absent(f"{error}: make .venv/bench/ready") from None
