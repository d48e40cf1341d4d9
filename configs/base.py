"""What every config begins with.

A config says only what differs from the defaults, which stand with what reads each key; `train.py --help` lists all
keys.
"""

from ml_collections import ConfigDict

SECTIONS = ("model", "task", "data", "optim", "step", "parallel", "evaluation", "checkpoint", "log", "profile")


def config(**sections: object) -> ConfigDict:
    """A config of these sections and top-level keys; the other sections are empty, and so at their defaults."""
    return ConfigDict({section: {} for section in SECTIONS} | sections)


def grey() -> dict[str, tuple[float, ...]]:
    """config.data's normalisation to [-1, 1] for images of one channel."""
    return {"mean": (0.5,), "std": (0.5,)}


def open_keys(*names: str) -> dict[str, None]:
    """Keys that follow from the data: see experiment/recipes."""
    return dict.fromkeys(names)


def open_calendar() -> dict[str, dict[str, None]]:
    """The sections whose keys follow from how long a run is, and from its memory."""
    return {
        "evaluation": open_keys("every_steps"),
        "checkpoint": open_keys("every_steps", "keep_best", "keep_best_mode"),
        "log": open_keys("every_steps"),
        "step": open_keys("accumulate"),
    }
